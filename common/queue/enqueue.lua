-- Makes jobs stand somewhere, each at most once, however often it is asked.
-- ARGV: n, then n times: key, where, payload
--   where = ready | retry:<delay ms> | parked:<why>
-- Answer per job: 1 = put there; 2 = stood in retry or parked and was moved to ready; 0 = stands somewhere already.
local n = tonumber(ARGV[1])
local now = now_ms()
local answer, rung = {}, 0
for i = 1, n do
    local key, where, payload = ARGV[3 * i - 1], ARGV[3 * i], ARGV[3 * i + 1]
    local place, _, standing = split(redis.call('HGET', JOBS, key))
    local to_ready = where == 'ready'
    if place and to_ready and standing and string.sub(place, 1, 7) ~= 'active:' then
        pull(place, standing)
        put_ready(key, payload, false)
        answer[i] = 2
        rung = rung + 1
    elseif place then
        answer[i] = 0
    elseif to_ready then
        put_ready(key, payload, false)
        answer[i] = 1
        rung = rung + 1
    elseif string.sub(where, 1, 6) == 'retry:' then
        put_retry(key, now + tonumber(string.sub(where, 7)), payload)
        answer[i] = 1
    else
        put_parked(key, string.sub(where, 8), payload)
        answer[i] = 1
    end
end
ring(rung)
return answer
