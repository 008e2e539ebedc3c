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
    return string.format('%d', n)
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

-- The job's key and its object, or nil and what is wrong with it. The worker's own parser (job.c) is stricter.
local OPS = { upload = true, verify = true, repair = true, delete = true }
local function decode(payload)
    if #payload > 65536 then
        return nil, 'longer than 64 KiB'
    end
    local ok, job = pcall(cjson.decode, payload)
    if not ok or type(job) ~= 'table' or string.find(payload, '%z') then
        return nil, 'not a JSON object'
    end
    if type(job.id) ~= 'number' or not (job.id >= 1 and job.id <= 2147483647) or job.id % 1 ~= 0 then
        return nil, 'id is not a whole number from 1 to 2147483647'
    end
    if type(job.op) ~= 'string' or not OPS[job.op] then
        return nil, 'op is not upload, verify, repair or delete'
    end
    return job.op .. ':' .. int(job.id), job
end

-- cjson reads NaN too: it is neither above nor below anything.
local function band_of(job)
    local p = job and job.priority
    if type(p) ~= 'number' or not (p >= 0) then
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

-- People and programs read the dead list: of text that isn't UTF-8, the bytes above 127 become '?'.
local UTF8 = {
    '\240[\144-\191][\128-\191][\128-\191]', '[\241-\243][\128-\191][\128-\191][\128-\191]',
    '\244[\128-\143][\128-\191][\128-\191]', '\224[\160-\191][\128-\191]', '\237[\128-\159][\128-\191]',
    '[\225-\236\238\239][\128-\191][\128-\191]', '[\194-\223][\128-\191]',
}
local function readable(text)
    local rest = text
    for _, pattern in ipairs(UTF8) do
        rest = string.gsub(rest, pattern, ' ')
    end
    if string.find(rest, '[\128-\255]') then
        text = string.gsub(text, '[\128-\255]', '?')
    end
    return text
end

-- A job keeps its members; of anything else the text is kept, as the member `job`. max nil: the next burial trims.
local function put_dead(payload, error, max)
    payload, error = readable(string.sub(payload, 1, 4096)), readable(error)
    local key, job = decode(payload)
    if not key then
        job = { job = payload }
    end
    job.error = error
    job.dead_at_ms = now_ms()
    local ok, line = pcall(cjson.encode, job) -- NaN can be read but not written
    if not ok then
        line = cjson.encode({ job = payload, error = error, dead_at_ms = job.dead_at_ms })
    end
    redis.call('LPUSH', DEAD, line)
    if max then
        redis.call('LTRIM', DEAD, 0, max - 1)
    end
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
