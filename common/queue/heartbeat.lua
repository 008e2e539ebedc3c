-- A worker says that it lives and renews its leases.
-- ARGV: worker, details (inside of a JSON object), lease_ms, n, then n times: key, token, payload
-- Answer per job: 1 = renewed, 2 = Redis had lost it and it stood nowhere else: registered again, 0 = not ours.
local worker, details, lease_ms, n = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local now = now_ms()
local place = 'active:' .. worker
redis.call('HSET', WORKERS, worker, '{"at_ms":' .. int(now) .. ',' .. details .. '}')
local answer = {}
for i = 1, n do
    local key, token, payload = ARGV[2 + 3 * i], ARGV[3 + 3 * i], ARGV[4 + 3 * i]
    local standing, holder = split(redis.call('HGET', JOBS, key))
    if standing == place and holder == token then
        answer[i] = 1
    elseif not standing then
        redis.call('RPUSH', Q .. ':active:' .. worker, payload)
        redis.call('HSET', JOBS, key, place .. ' ' .. token .. ' ' .. payload)
        answer[i] = 2
    else
        answer[i] = 0
    end
    if answer[i] > 0 then
        redis.call('ZADD', LEASE, int(now + lease_ms), key)
    end
end
return answer
