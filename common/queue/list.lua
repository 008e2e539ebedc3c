-- The first jobs that stand at one kind of place. Read-only.
-- ARGV: state (ready, active, retry, parked, dead), limit
-- Answer per job: { line, detail, time }: active: worker, lease's end in ms; retry: '', due time in ms; parked: why
local state, limit = ARGV[1], tonumber(ARGV[2])
local answer = {}

-- What is longer than any job is cut, and so is no JSON any more: shown as malformed.
local function add(line, detail, time)
    if #line > 65536 then
        line = string.sub(line, 1, 4096)
    end
    answer[#answer + 1] = { line, detail or '', time or '' }
end

local function add_list(list, detail)
    if #answer < limit then
        for _, line in ipairs(redis.call('LRANGE', list, 0, limit - #answer - 1)) do
            add(line, detail)
        end
    end
end

if state == 'ready' then
    for p = 0, 9 do
        add_list(Q .. ':ready:' .. p)
    end
elseif state == 'active' then
    local leases = redis.call('ZRANGE', LEASE, 0, limit - 1, 'WITHSCORES')
    for i = 1, #leases, 2 do
        local place, _, line = split(redis.call('HGET', JOBS, leases[i]))
        if line and string.sub(place, 1, 7) == 'active:' then
            add(line, string.sub(place, 8), leases[i + 1])
        end
    end
elseif state == 'retry' then
    local due = redis.call('ZRANGE', RETRY, 0, limit - 1, 'WITHSCORES')
    for i = 1, #due, 2 do
        add(due[i], '', due[i + 1])
    end
elseif state == 'parked' then
    local reasons = redis.call('SRANDMEMBER', PARKED, 256)
    table.sort(reasons)
    for _, why in ipairs(reasons) do
        add_list(Q .. ':parked:' .. why, why)
    end
else
    add_list(DEAD)
end
return answer
