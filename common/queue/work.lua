-- One turn of a worker: settle what it has finished with, then claim what it has room for.
-- Both in one call: a batch of acks and a batch of claims cost one round trip.
--
-- ARGV: worker, host, lease_ms, want, first_token, starving_before (ISO 8601), dead_max, n_settle, then n_settle times:
--   key, token, outcome, argument, payload
--   outcome = ack | retry (argument: delay in ms) | park (why) | bury (error) | ready (goes to the head of its band)
-- The i-th claimed job has token first_token + i - 1.
-- Answer: { keys that were not ours any more, claimed payloads, malformed jobs buried, duplicates dropped,
--           ms until the next retry is due (at most a day) or -1, keys of the claimed jobs }
local worker, host, lease_ms, want = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local first_token, starving_before, dead_max = tonumber(ARGV[5]), ARGV[6], tonumber(ARGV[7])
local n_settle = tonumber(ARGV[8])
local now = now_ms()
local active_list, active_place = Q .. ':active:' .. worker, 'active:' .. worker

-- Settle.
local lost, rung = {}, 0
if n_settle > 0 then
    local keys = {}
    for i = 1, n_settle do
        keys[i] = ARGV[4 + 5 * i]
    end
    local standing = redis.call('HMGET', JOBS, unpack(keys))
    local done, gone = {}, {}
    for i = 1, n_settle do
        local at = 4 + 5 * i
        local key, token, outcome, argument, payload = keys[i], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3], ARGV[at + 4]
        local place, holder, current = split(standing[i])
        local ours = place == active_place and holder == token
        if ours then
            redis.call('LREM', active_list, 1, current)
            done[#done + 1] = key
        end
        -- An entry that Redis lost (FLUSHALL) stands nowhere: an outcome that keeps the job puts it back.
        if ours or not place then
            if outcome == 'retry' then
                put_retry(key, now + tonumber(argument), payload)
            elseif outcome == 'park' then
                put_parked(key, argument, payload)
                if string.sub(argument, 1, 5) == 'host:' then
                    rung = rung + redis.call('HLEN', WORKERS) -- whichever of them it is that can see the artifact
                end
            elseif outcome == 'ready' then
                put_ready(key, payload, true)
                rung = rung + 1
            elseif ours then
                if outcome == 'bury' then
                    put_dead(payload, argument, dead_max)
                end
                gone[#gone + 1] = key
            end
        else
            lost[#lost + 1] = key
        end
    end
    if #done > 0 then
        redis.call('ZREM', LEASE, unpack(done))
    end
    if #gone > 0 then
        redis.call('HDEL', JOBS, unpack(gone))
    end
end

-- Claim.
local claimed, claimed_keys, malformed, duplicates = {}, {}, 0, 0
if want > 0 then
    local due = redis.call('ZRANGEBYSCORE', RETRY, '-inf', int(now), 'LIMIT', 0, 100)
    for _, payload in ipairs(due) do
        redis.call('ZREM', RETRY, payload)
        local key, why = decode(payload)
        if key then
            local place, _, own = split(redis.call('HGET', JOBS, key))
            if not place or (own == payload and string.sub(place, 1, 6) == 'retry:') then
                put_ready(key, payload, false)
            else
                duplicates = duplicates + 1
            end
        else
            put_dead(payload, 'malformed job in the retry set: ' .. why, dead_max)
            malformed = malformed + 1
        end
    end
    if #due > want then
        rung = rung + #due - want
    end

    local popped = {}
    local function pop(list, n)
        local got = n > 0 and redis.call('LPOP', list, int(n))
        for _, payload in ipairs(got or {}) do
            popped[#popped + 1] = payload
        end
        return got and #got or 0
    end

    -- Jobs handed to this host: only its workers can see their artifact.
    local handed = Q .. ':parked:host:' .. host
    if pop(handed, want) > 0 and redis.call('EXISTS', handed) == 0 then
        redis.call('SREM', PARKED, 'host:' .. host)
    end

    -- One claim in four serves the oldest head that has waited too long, so that low priorities never starve.
    local turns = math.floor((want - #popped) / 4)
    if turns == 0 and #popped < want and redis.call('TIME')[2] % 4 == 0 then
        turns = 1
    end
    if turns > 0 then
        local heads, bands = {}, 0
        local function look(p)
            local head = redis.call('LINDEX', Q .. ':ready:' .. p, 0)
            local ok, job = false, nil
            if head and #head <= 65536 then
                ok, job = pcall(cjson.decode, head)
            end
            if ok and type(job) == 'table' and type(job.enqueued_at) == 'string' then
                heads[p] = job.enqueued_at
            else
                heads[p] = head and '' -- of unknown age: goes first, so that it never hides those behind it
            end
            return head
        end
        for p = 0, 9 do
            if look(p) then
                bands = bands + 1
            end
        end
        while turns > 0 and bands > 1 do
            local oldest
            for p = 0, 9 do
                if heads[p] and heads[p] < starving_before and (not oldest or heads[p] < heads[oldest]) then
                    oldest = p
                end
            end
            if not oldest then
                break
            end
            pop(Q .. ':ready:' .. oldest, 1)
            look(oldest)
            turns = turns - 1
        end
    end

    for p = 0, 9 do
        pop(Q .. ':ready:' .. p, want - #popped)
    end

    local keys, payloads = {}, {}
    for _, payload in ipairs(popped) do
        local key, why = decode(payload)
        if key then
            keys[#keys + 1] = key
            payloads[#payloads + 1] = payload
        else
            put_dead(payload, 'malformed job: ' .. why, dead_max)
            malformed = malformed + 1
        end
    end
    if #keys > 0 then
        local standing = redis.call('HMGET', JOBS, unpack(keys))
        local places, leases, seen = {}, {}, {}
        for i, key in ipairs(keys) do
            local place = split(standing[i])
            local free = not place or string.sub(place, 1, 6) == 'ready:' or place == 'parked:host:' .. host
            if free and not seen[key] then
                seen[key] = true
                claimed[#claimed + 1] = payloads[i]
                claimed_keys[#claimed] = key
                places[#places + 1] = key
                places[#places + 1] = active_place .. ' ' .. int(first_token + #claimed - 1) .. ' ' .. payloads[i]
                leases[#leases + 1] = int(now + lease_ms)
                leases[#leases + 1] = key
            else
                duplicates = duplicates + 1 -- the job stands elsewhere: this copy was pushed by hand
            end
        end
        if #claimed > 0 then
            redis.call('HSET', JOBS, unpack(places))
            redis.call('ZADD', LEASE, unpack(leases))
            redis.call('RPUSH', active_list, unpack(claimed))
        end
    end
end
if rung > 0 then
    ring(rung)
end

local next_due = redis.call('ZRANGE', RETRY, 0, 0, 'WITHSCORES')
local next_due_ms = next_due[2] and math.min(math.max(0, tonumber(next_due[2]) - now), 86400000) or -1
return { lost, claimed, malformed, duplicates, next_due_ms, claimed_keys }
