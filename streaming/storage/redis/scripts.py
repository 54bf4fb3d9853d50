"""The scripts that run atomically in Redis. The keys of a script are those of one job.

A row's `rev` names its present state: a script changes the row only if it is still as its caller
saw it. `w:<process>` is the number of the last append of a process: a retry learns from it that its
first try did get through, and a process sees that an append was lost.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Script:
    """Lua, and its name in Redis."""

    source: str

    @property
    def sha(self) -> str:
        return hashlib.sha1(self.source.encode(), usedforsecurity=False).hexdigest()


#: KEYS row, events, records. ARGV the count of the row's fields and values, then these (the first
#: is `rev`), the first event, and names and values of records. Gives 1 when it is new, 0 when there
#: is one already.
CREATE = Script("""
local fields = tonumber(ARGV[1])
local made = redis.call('HGET', KEYS[1], 'made')
if made then
    if made == ARGV[3] then return 1 end
    return 0
end
redis.call('HSET', KEYS[1], 'made', ARGV[3], unpack(ARGV, 2, fields + 1))
redis.call('XADD', KEYS[2], '1-0', 'e', ARGV[fields + 2])
for at = fields + 3, #ARGV, 2 do
    redis.call('HSET', KEYS[3], ARGV[at], ARGV[at + 1])
end
return 1
""")

#: KEYS row, events, records; with a webhook also its calls, their times, refused jobs. ARGV
#: channel, expected rev, new rev, the process's field, the append's number; counts of row fields,
#: events, records (two ARGV each: field and value, id and event, name and value), then these; with
#: a webhook also the job, 1 where it ends, and calls (id, when it is due, what it is).
APPEND = Script("""
local found = redis.call('HMGET', KEYS[1], 'rev', ARGV[4])
if not found[1] then return {'gone'} end
if found[2] == ARGV[5] then return {'done'} end
if found[1] ~= ARGV[2] then
    return {'moved', found[2] or '0', redis.call('HGETALL', KEYS[1])}
end
local fields, events, records = tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[8])
redis.call('HSET', KEYS[1], 'rev', ARGV[3], ARGV[4], ARGV[5])
local at = 9
for _ = 1, fields do
    redis.call('HSET', KEYS[1], ARGV[at], ARGV[at + 1])
    at = at + 2
end
local told = {}
for i = 1, events do
    redis.call('XADD', KEYS[2], ARGV[at], 'e', ARGV[at + 1])
    told[i] = ARGV[at + 1]
    at = at + 2
end
for _ = 1, records do
    redis.call('HSET', KEYS[3], ARGV[at], ARGV[at + 1])
    at = at + 2
end
if KEYS[4] then
    local job, ends = ARGV[at], ARGV[at + 1]
    local refused = redis.call('SISMEMBER', KEYS[6], job) == 1
    for i = at + 2, refused and 0 or #ARGV, 3 do
        redis.call('HSET', KEYS[4], ARGV[i], ARGV[i + 2])
        redis.call('ZADD', KEYS[5], ARGV[i + 1], ARGV[i])
    end
    if ends == '1' then redis.call('SREM', KEYS[6], job) end
end
if events > 0 then redis.call('PUBLISH', ARGV[1], table.concat(told, '\\n')) end
return {'done'}
""")

#: KEYS events. ARGV first id, events at most, bytes at most. Gives the events.
PAGE = Script("""
local from, left, room = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local found = {}
while left > 0 and room > 0 do
    local entries = redis.call('XRANGE', KEYS[1], from, '+', 'COUNT', math.min(left, 32))
    if #entries == 0 then break end
    for _, entry in ipairs(entries) do
        room = room - #entry[2][2]
        if room < 0 and #found > 0 then return found end
        found[#found + 1] = entry[2][2]
        left = left - 1
        from = '(' .. entry[1]
    end
end
return found
""")

#: KEYS row, events, base. ARGV channel, new rev, present base, new base, its fold, bytes freed.
TRIM = Script("""
local row = redis.call('HMGET', KEYS[1], 'base', 'seq', 'expired')
if row[1] ~= ARGV[3] or row[3] == '1' or tonumber(row[2]) < tonumber(ARGV[4]) then return 0 end
redis.call('HSET', KEYS[1], 'rev', ARGV[2], 'base', ARGV[4])
redis.call('HINCRBY', KEYS[1], 'size', -tonumber(ARGV[6]))
redis.call('SET', KEYS[3], ARGV[5])
redis.call('XTRIM', KEYS[2], 'MINID', string.format('%d-0', tonumber(ARGV[4]) + 1))
return 1
""")

#: KEYS row, events, base. ARGV channel, expected rev, new rev, new base, its fold, size, and the
#: terminal event that comes behind it, or ''.
MEND = Script("""
if redis.call('HGET', KEYS[1], 'rev') ~= ARGV[2] then return 0 end
local base, seq = tonumber(ARGV[4]), tonumber(ARGV[4])
redis.call('XTRIM', KEYS[2], 'MAXLEN', 0)
if ARGV[7] ~= '' then
    seq = seq + 1
    redis.call('XADD', KEYS[2], string.format('%d-0', seq), 'e', ARGV[7])
end
redis.call('HSET', KEYS[1], 'rev', ARGV[3], 'size', ARGV[6],
    'base', string.format('%d', base), 'seq', string.format('%d', seq))
redis.call('SET', KEYS[3], ARGV[5])
redis.call('PUBLISH', ARGV[1], 'again')
return 1
""")

#: KEYS row, events, records, base, viewers. ARGV channel, new rev, when the tombstone is over or
#: '' without one. Gives the bytes that the row has counted, or nil without a row.
REMOVE = Script("""
local size = redis.call('HGET', KEYS[1], 'size')
redis.call('DEL', KEYS[2], KEYS[3], KEYS[4], KEYS[5])
if not size then return nil end
if ARGV[3] == '' then
    redis.call('DEL', KEYS[1])
else
    redis.call('HSET', KEYS[1],
        'rev', ARGV[2], 'expired', '1', 'size', '0', 'expires_at', ARGV[3], 'key', '')
end
redis.call('PUBLISH', ARGV[1], 'again')
return size
""")

#: KEYS claim. ARGV the job that claims and its digest, seconds that a claim without a job lasts.
#: Gives the job that has it.
CLAIM = Script("""
local found = redis.call('GET', KEYS[1])
if found then return found end
if ARGV[2] ~= '' then redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[2]) end
return false
""")

#: KEYS turn. ARGV who, milliseconds. 1 when it is (or stays) theirs.
TURN = Script("""
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
""")

#: KEYS turn. ARGV who gives it back.
RELEASE = Script("""
if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end
return 1
""")

#: KEYS leases. ARGV the process, the number of its statement, seconds after which it is gone, its
#: pools' sizes, its jobs (`needs`: JSON, `held`, `fresh`: requested since its last statement), the
#: channel of changes. Takes the statement if it is newer than the last, drops what the processes
#: held that are gone, gives what is free in the order of ids, and gives what all have stated.
LEASES = Script("""
local clock = redis.call('TIME')
local now, me, number = clock[1] + clock[2] / 1e6, ARGV[1], tonumber(ARGV[2])
local all, owner, changed, news = {}, {}, {}, false

local found = redis.call('HGETALL', KEYS[1])
for i = 1, #found, 2 do
    local process, told = found[i], cjson.decode(found[i + 1])
    if told.ends < now and process ~= me then
        redis.call('HDEL', KEYS[1], process)
        news = news or next(told.jobs) ~= nil
    else
        all[process] = told
        for job in pairs(told.jobs) do owner[job] = process end
    end
end

local mine = all[me] or {number = 0, jobs = {}}
if number > mine.number then
    local jobs = {}
    for job, lease in pairs(cjson.decode(ARGV[5])) do
        local before = owner[job] and all[owner[job]].jobs[job]
        if before and owner[job] ~= me and lease.fresh then
            lease.held = before.held and before.needs == lease.needs
            all[owner[job]].jobs[job] = nil
            changed[owner[job]], news = true, true
        elseif before and owner[job] ~= me then
            lease = nil
        elseif before then
            lease.held = lease.held or before.held
        else
            news = true
        end
        if lease then
            lease.fresh = nil
            jobs[job] = lease
        end
    end
    for job in pairs(mine.jobs) do news = news or not jobs[job] end
    all[me] = {number = number, ends = now + ARGV[3], sizes = cjson.decode(ARGV[4]), jobs = jobs}
    changed[me] = true
end

local taken, queue = {}, {}
for process, told in pairs(all) do
    for job, lease in pairs(told.jobs) do
        local needs = cjson.decode(lease.needs)
        if lease.held then
            for name, units in pairs(needs) do taken[name] = (taken[name] or 0) + units end
        else
            queue[#queue + 1] = {job = job, process = process, lease = lease, needs = needs}
        end
    end
end
table.sort(queue, function(a, b) return a.job < b.job end)

local wanted = {}
for _, each in ipairs(queue) do
    local sizes, free = all[each.process].sizes, true
    for name, units in pairs(each.needs) do
        local over = sizes[name] and (taken[name] or 0) + units > sizes[name]
        if over or wanted[name] then free = false end
    end
    for name, units in pairs(each.needs) do
        if free then taken[name] = (taken[name] or 0) + units else wanted[name] = true end
    end
    if free then
        each.lease.held, changed[each.process], news = true, true, true
    end
end

for process in pairs(changed) do
    redis.call('HSET', KEYS[1], process, cjson.encode(all[process]))
end
if news then redis.call('PUBLISH', ARGV[6], '') end
return cjson.encode(all)
""")

#: KEYS calls, their times. ARGV call, when it is due, what it is now. Not where it is gone.
PUT_OFF = Script("""
if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 0 then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
redis.call('ZADD', KEYS[2], ARGV[2], ARGV[1])
return 1
""")

#: KEYS row, refused jobs. ARGV job. Nothing is refused of a job that has ended, or is gone.
REFUSE = Script("""
local ends = redis.call('HGET', KEYS[1], 'expires_at')
if not ends or ends ~= '' then return 0 end
return redis.call('SADD', KEYS[2], ARGV[1])
""")

SCRIPTS = (
    CREATE,
    APPEND,
    PAGE,
    TRIM,
    MEND,
    REMOVE,
    CLAIM,
    TURN,
    RELEASE,
    LEASES,
    PUT_OFF,
    REFUSE,
)
