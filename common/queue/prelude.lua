-- What every script shares; put in front of each when it is loaded.
-- KEYS[1] is the queue's prefix, bm:{<queue>}; all other keys carry the same hash tag.
--
-- A job's life: exactly one of ready, active, retry, parked. <prefix>:jobs says which:
--   job key -> "<place> <token> <payload>", place = ready:<band> | active:<worker> | retry:<due ms> | parked:<why>
-- ready entries have only the place: they are many, and nobody needs to find one by its key.
local Q = KEYS[1]
local JOBS, LEASE, RETRY, DEAD = Q .. ':jobs', Q .. ':lease', Q .. ':retry', Q .. ':dead'
local BELL, PARKED, WORKERS = Q .. ':bell', Q .. ':parked', Q .. ':workers'
local BELL_MAX = 64

local function now_ms()
    local t = redis.call('TIME')
    return t[1] * 1000 + math.floor(t[2] / 1000)
end

-- Whole numbers without Lua's exponent form.
local function int(n)
    return string.format('%.0f', n)
end

local function split(value)
    if not value then
        return nil
    end
    local place, token, payload = string.match(value, '^(%S+) (%S+) (.*)$')
    if place then
        return place, token, payload
    end
    return value
end

-- The job's key and its object, or nil and what is wrong with it.
local function decode(payload)
    if #payload > 65536 then
        return nil, 'longer than 64 KiB'
    end
    local ok, job = pcall(cjson.decode, payload)
    if not ok or type(job) ~= 'table' then
        return nil, 'not a JSON object'
    end
    if type(job.id) ~= 'number' or job.id < 1 or job.id > 9007199254740992 or job.id % 1 ~= 0 then
        return nil, 'id is not a positive whole number'
    end
    if type(job.op) ~= 'string' or not string.match(job.op, '^%l+$') then
        return nil, 'op is not a name'
    end
    return job.op .. ':' .. int(job.id), job
end

local function band_of(job)
    local p = job and job.priority
    if type(p) ~= 'number' or p < 0 then
        return 0
    end
    return math.min(math.floor(p), 9)
end

local function ring(n)
    local free = math.min(n, BELL_MAX - redis.call('LLEN', BELL))
    for _ = 1, free do
        redis.call('RPUSH', BELL, '1')
    end
end

local function put_ready(key, payload, front)
    local ok, job = pcall(cjson.decode, payload)
    local band = band_of(ok and type(job) == 'table' and job or nil)
    redis.call(front and 'LPUSH' or 'RPUSH', Q .. ':ready:' .. band, payload)
    redis.call('HSET', JOBS, key, 'ready:' .. band)
end

local function put_retry(key, due, payload)
    redis.call('ZADD', RETRY, int(due), payload)
    redis.call('HSET', JOBS, key, 'retry:' .. int(due) .. ' - ' .. payload)
end

local function put_parked(key, why, payload)
    redis.call('RPUSH', Q .. ':parked:' .. why, payload)
    redis.call('SADD', PARKED, why)
    redis.call('HSET', JOBS, key, 'parked:' .. why .. ' - ' .. payload)
end

local function put_dead(payload, error, max)
    if #payload > 4096 then
        payload = string.sub(payload, 1, 4096)
    end
    local ok, job = pcall(cjson.decode, payload)
    if not ok or type(job) ~= 'table' then
        job = { job = payload }
    end
    job.error = error
    job.dead_at_ms = now_ms()
    redis.call('LPUSH', DEAD, cjson.encode(job))
    redis.call('LTRIM', DEAD, 0, max - 1)
end

-- Takes a job out of retry or parked; the caller puts it elsewhere.
local function pull(place, payload)
    if string.sub(place, 1, 6) == 'retry:' then
        redis.call('ZREM', RETRY, payload)
    elseif string.sub(place, 1, 7) == 'parked:' then
        local list = Q .. ':' .. place
        redis.call('LREM', list, 1, payload)
        if redis.call('EXISTS', list) == 0 then
            redis.call('SREM', PARKED, string.sub(place, 8))
        end
    end
end
