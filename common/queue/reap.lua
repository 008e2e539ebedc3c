-- Jobs of workers that fell silent become ready again; workers silent for long are forgotten.
-- ARGV: max jobs, worker_ttl_ms
-- Answer: { jobs made ready, workers forgotten }
local max, ttl = tonumber(ARGV[1]), tonumber(ARGV[2])
local now = now_ms()
local freed, forgotten = 0, 0
local expired = redis.call('ZRANGEBYSCORE', LEASE, '-inf', int(now), 'LIMIT', 0, max)
for _, key in ipairs(expired) do
    redis.call('ZREM', LEASE, key)
    local place, _, payload = split(redis.call('HGET', JOBS, key))
    if place and string.sub(place, 1, 7) == 'active:' then
        redis.call('LREM', Q .. ':' .. place, 1, payload)
        put_ready(key, payload, true)
        freed = freed + 1
    end
end
local workers = redis.call('HGETALL', WORKERS)
for i = 1, #workers, 2 do
    local ok, details = pcall(cjson.decode, workers[i + 1])
    local at = ok and type(details) == 'table' and tonumber(details.at_ms) or 0
    if at < now - ttl then
        redis.call('HDEL', WORKERS, workers[i])
        forgotten = forgotten + 1
    end
end
ring(freed)
return { freed, forgotten }
