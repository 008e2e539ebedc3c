-- Takes entries off the dead list.
-- ARGV: the entries
-- Answer: how many were there
local n = 0
for _, entry in ipairs(ARGV) do
    n = n + redis.call('LREM', DEAD, 1, entry)
end
return n
