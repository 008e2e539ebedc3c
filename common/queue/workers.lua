-- Who works, and on what. Read-only.
-- ARGV: within_ms (those heard of within it), most workers, most jobs of each
-- Answer per worker, by name: { worker, details (JSON), how many jobs it holds, { their lines } }
local since, most, most_jobs = now_ms() - tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local all = redis.call('HGETALL', WORKERS)
local names, details = {}, {}
for i = 1, #all, 2 do
    local at = tonumber(string.match(all[i + 1], '"at_ms":(%d+)'))
    if at and at >= since then
        names[#names + 1] = all[i]
        details[all[i]] = all[i + 1]
    end
end
table.sort(names)
local answer = {}
for i = 1, math.min(#names, most) do
    local list = Q .. ':active:' .. names[i]
    answer[i] = { names[i], details[names[i]], redis.call('LLEN', list),
                  most_jobs > 0 and redis.call('LRANGE', list, 0, most_jobs - 1) or {} }
end
return answer
