-- How many jobs stand where. Read-only; costs the same however many there are.
-- ARGV: within_ms (workers that were heard of within it count)
-- Answer: { ready of bands 0 to 9 }, active, retry, dead, workers, { why, parked, why, parked, ... } (256 reasons at most)
local since = now_ms() - tonumber(ARGV[1])
local ready = {}
for p = 0, 9 do
    ready[p + 1] = redis.call('LLEN', Q .. ':ready:' .. p)
end
local workers = 0
for _, details in ipairs(redis.call('HVALS', WORKERS)) do
    local at = tonumber(string.match(details, '"at_ms":(%d+)'))
    if at and at >= since then
        workers = workers + 1
    end
end
local reasons = redis.call('SRANDMEMBER', PARKED, 256)
table.sort(reasons)
local parked = {}
for _, why in ipairs(reasons) do
    local n = redis.call('LLEN', Q .. ':parked:' .. why)
    if n > 0 then
        parked[#parked + 1] = why
        parked[#parked + 1] = n
    end
end
return { ready, redis.call('ZCARD', LEASE), redis.call('ZCARD', RETRY), redis.call('LLEN', DEAD), workers, parked }
