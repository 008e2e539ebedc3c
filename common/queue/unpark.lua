-- Parked jobs whose condition holds go to the head of their band, in the order given.
-- ARGV: why, count, then job keys. With count > 0 that many from the head of the list go, whatever their key.
-- Answer: how many went.
local why, count = ARGV[1], tonumber(ARGV[2])
local list = Q .. ':parked:' .. why
local moved = 0
if count > 0 then
    local got = redis.call('LPOP', list, int(count)) or {}
    for i = #got, 1, -1 do
        local key, wrong = decode(got[i])
        local place = key and split(redis.call('HGET', JOBS, key))
        if not key then
            put_dead(got[i], 'malformed job in parked:' .. why .. ': ' .. wrong)
        elseif not place or place == 'parked:' .. why then
            put_ready(key, got[i], true)
            moved = moved + 1
        end -- else: stands elsewhere, this copy was pushed by hand
    end
end
for i = #ARGV, 3, -1 do
    local place, _, payload = split(redis.call('HGET', JOBS, ARGV[i]))
    if place == 'parked:' .. why then
        redis.call('LREM', list, 1, payload)
        put_ready(ARGV[i], payload, true)
        moved = moved + 1
    end
end
if redis.call('EXISTS', list) == 0 then
    redis.call('SREM', PARKED, why)
end
ring(moved)
return moved
