// What must happen in Redis as one step, in Lua. Each script sees one moment of Redis and Redis' own time.
//
// An entry (a hash for each key that is known) is the truth on a key; a job of bull is only how and when it comes
// to a worker:
//   state    queued, running or parked
//   due      when it is to run next, in milliseconds of Redis' clock. Absent while it runs and nobody has asked again
//   rank     of the next run: 0 for a change, 1 for a resync;  ran: that of the run under way
//   finished the version of its last run that finished
//   tag      its place in the order of its rank, see `place`;  early: it has none yet, because it is not due
//   thorough 1 where the next run is a thorough one;  ranThorough: whether the run under way is
//   unless   of what was asked for during a run: the version that makes it needless, if the run finishes with it
//   account, retries, error
// Because `due` is cleared when a run begins and looked at in the same step that ends it, what is added during a
// run cannot be missed, although bull drops a job whose id is active.

/** Names of scripts, how many of their arguments are keys, and their text. */
export interface Script {
  readonly name: string;
  readonly keys: number;
  readonly lua: string;
}

const NOW = `
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
`;

/**
 * The order of keys of one rank: each lane counts its keys up from the tag that was handed out last, so that the
 * first keys of all lanes come before the second ones (start-time fair queueing). bull's priority is rank and tag.
 */
const PLACE = `
local RANK = 1099511627776 -- 2^40
local function place(served, lanes, wait, rank, key, account, early)
  local lane = account == '' and '' or account .. ' ' .. string.match(key, '^[^/]*')
  local tag = tonumber(redis.call('HGET', served, rank)) or 1
  if early then return tag end
  if redis.call('LLEN', wait) == 0 then redis.call('DEL', lanes) end
  local last = tonumber(redis.call('HGET', lanes, rank .. lane)) or 0
  tag = math.max(tag, last + 1)
  redis.call('HSET', lanes, rank .. lane, string.format('%.0f', tag))
  return tag
end
`;

/**
 * After Redis was flushed, restarted or replaced by a replica, leases may have been lost that their holders still
 * trust. The epoch changes then, and nothing is handed out for as long as a lease lasts. Tokens go on from the
 * time of day, which is above all that were given before.
 */
const EPOCH = `
local function epochOf(epoch, rest, fence, lease)
  local run = string.match(redis.call('INFO', 'server'), 'run_id:(%x+)') or ''
  local known = redis.call('GET', epoch)
  if known and string.sub(known, 1, #run) == run then return known end
  known = run .. ':' .. now
  redis.call('SET', epoch, known)
  redis.call('SET', rest, 1, 'PX', lease)
  if (tonumber(redis.call('GET', fence)) or 0) < now * 1000 then
    redis.call('SET', fence, string.format('%.0f', now * 1000))
  end
  return known
end
`;

/**
 * Whether bull has a job. What it fetches in the moment in which the job is removed becomes a job without data, in no
 * list, whose id is taken for ever: that is none.
 */
const HAS_JOB = `
local function hasJob(job)
  if redis.call('HEXISTS', job, 'data') == 1 or redis.call('EXISTS', job .. ':lock') == 1 then return true end
  redis.call('DEL', job)
  return false
end
`;

/**
 * Asks for a run. KEYS entry, known, job, served, lanes, wait; ARGV key, after, rank, the version whose last run
 * makes it needless ("" for none), whether it is a thorough one (1 or 0), and the account if it is known.
 * Answers {what bull is to do: none, add or replace, milliseconds of delay, priority}.
 */
export const ADD: Script = {
  name: 'fairleadAdd',
  keys: 6,
  lua: `${NOW}${PLACE}${HAS_JOB}
local entry, known, job, served, lanes, wait = unpack(KEYS)
local asked, rank = now + tonumber(ARGV[2]), tonumber(ARGV[3])
local e = redis.call('HMGET', entry, 'state', 'due', 'rank', 'account', 'finished', 'thorough', 'unless')
local state, due, before = e[1], tonumber(e[2]), tonumber(e[3])
local unless, thorough, account = ARGV[4], ARGV[5], ARGV[6] or e[4] or ''
if state ~= 'running' and unless ~= '' and e[5] == unless then return {'none'} end
if ARGV[6] then redis.call('HSET', entry, 'account', account) end
-- A run that is due serves both; what brings a delayed one forward makes it its own.
if due and (due <= now or asked >= due) then
  if e[6] == '1' then thorough = '1' end
  if e[7] ~= unless then unless = '' end
end
if state == 'parked' then
  if rank ~= 0 then return {'none'} end
  redis.call('HDEL', entry, 'error', 'retries')
  state = 'queued'
end
local sooner = false
if not due then
  due, sooner = asked, true
elseif due <= now then
  sooner = asked <= now and rank < before
  if not sooner then rank = before end
elseif asked < due then
  due, sooner = asked, true
else
  rank = before
end
if state == 'running' then
  redis.call('HSET', entry, 'due', due, 'rank', rank, 'thorough', thorough, 'unless', unless)
  return {'none'}
end
redis.call('SADD', known, ARGV[1])
redis.call('HSET', entry, 'thorough', thorough)
local exists = hasJob(job)
if exists and not sooner then return {'none'} end
local tag = place(served, lanes, wait, rank, ARGV[1], account, due > now)
redis.call('HSET', entry, 'state', 'queued', 'due', due, 'rank', rank, 'tag', tag, 'early', due > now and 1 or 0)
return {exists and 'replace' or 'add', math.max(0, due - now), string.format('%.0f', rank * RANK + tag)}
`,
};

/**
 * Begins a run. KEYS entry, lease, epoch, rest, fence, served, lanes, wait; ARGV milliseconds of the lease, key.
 * Answers {epoch, 'run', token, waited, thorough 1 or 0}, {epoch, 'gone'}, {epoch, 'later', milliseconds}, or {epoch, 'line', priority}:
 * bull puts what was delayed before all that waits; it goes to the end of its lane instead.
 */
export const BEGIN: Script = {
  name: 'fairleadBegin',
  keys: 8,
  lua: `${NOW}${EPOCH}${PLACE}
local entry, lease, epoch, rest, fence, served, lanes, wait = unpack(KEYS)
local current = epochOf(epoch, rest, fence, ARGV[1])
local resting = redis.call('PTTL', rest)
if resting > 0 then return {current, 'later', resting + 1} end
local held = redis.call('PTTL', lease)
if held > 0 then return {current, 'later', held + 1} end
local e = redis.call('HMGET', entry, 'state', 'due', 'rank', 'tag', 'ran', 'early', 'account', 'thorough', 'ranThorough')
local due, rank, thorough = tonumber(e[2]), tonumber(e[3]), e[8] == '1'
-- Running without a lease: the worker of the last run is lost, with all that it had to do.
if e[1] == 'running' then
  due, rank, thorough = now, tonumber(e[5]) or 0, thorough or e[9] == '1'
end
if not due then return {current, 'gone'} end
if due > now then return {current, 'later', due - now} end
if e[6] == '1' and redis.call('LLEN', wait) > 0 then
  local tag = place(served, lanes, wait, rank, ARGV[2], e[7] or '', false)
  redis.call('HSET', entry, 'tag', tag, 'early', 0)
  if tag > (tonumber(redis.call('HGET', served, rank)) or 0) + 1 then
    return {current, 'line', string.format('%.0f', rank * RANK + tag)}
  end
  e[4] = tag
end
local token = redis.call('INCR', fence)
redis.call('SET', lease, token, 'PX', ARGV[1])
redis.call('HSET', entry, 'state', 'running', 'ran', rank, 'ranThorough', thorough and 1 or 0)
redis.call('HDEL', entry, 'due', 'rank', 'tag', 'thorough', 'unless')
local tag = tonumber(e[4])
if tag and tag > (tonumber(redis.call('HGET', served, rank)) or 0) then
  redis.call('HSET', served, rank, string.format('%.0f', tag))
end
return {current, 'run', token, now - due, thorough and 1 or 0}
`,
};

/**
 * Ends a run. KEYS entry, known, lease, served, lanes, wait; ARGV key, token, outcome (finished, retry or back),
 * after ("": a retry has its backoff, and what finished is over), random, error ("" for none), the backoff's first and most, retries until parked,
 * version ("" for none), whether the run after `after` is a thorough one (1 or 0).
 * Answers {'lost'}, {'done'} or {'add', milliseconds of delay, priority}.
 */
export const END: Script = {
  name: 'fairleadEnd',
  keys: 6,
  lua: `${NOW}${PLACE}
local entry, known, lease, served, lanes, wait = unpack(KEYS)
local key, token, outcome, after, random, fault = unpack(ARGV)
if redis.call('GET', lease) ~= token then return {'lost'} end
redis.call('DEL', lease)
local e = redis.call('HMGET', entry, 'due', 'rank', 'ran', 'account', 'thorough', 'ranThorough', 'unless')
local due, rank, thorough = tonumber(e[1]), tonumber(e[2]), e[5] or 0
local asked, again
local askedThorough = e[6] or 0
if outcome ~= 'finished' then
  -- It may have done half of something else than what had been finished before, and what was not done is still to be.
  redis.call('HDEL', entry, 'finished')
  if e[6] == '1' then thorough = '1' end
end
if outcome == 'finished' then
  redis.call('HDEL', entry, 'retries')
  redis.call('HSET', entry, 'finished', ARGV[10])
  -- What was asked for during the run is what it has done.
  if ARGV[10] ~= '' and e[7] == ARGV[10] and thorough ~= '1' then due = nil end
  askedThorough = ARGV[11]
  if after ~= '' then asked, again = now + tonumber(after), 1 end
elseif outcome == 'back' then
  asked = now
else
  local retries = redis.call('HINCRBY', entry, 'retries', 1)
  if fault ~= '' and retries >= tonumber(ARGV[9]) and not due then
    redis.call('HSET', entry, 'state', 'parked', 'error', fault)
    return {'done'}
  end
  local pause = math.min(tonumber(ARGV[8]), tonumber(ARGV[7]) * 2 ^ (retries - 1)) * (0.5 + random / 2)
  asked = now + (tonumber(after) or math.ceil(pause))
end
if asked and (not due or asked < due) then
  due, rank, thorough = asked, again or tonumber(e[3]), askedThorough
end
if not due then
  redis.call('DEL', entry)
  redis.call('SREM', known, key)
  return {'done'}
end
local tag = place(served, lanes, wait, rank, key, e[4] or '', due > now)
redis.call('HSET', entry, 'state', 'queued', 'due', due, 'rank', rank, 'tag', tag, 'early', due > now and 1 or 0)
redis.call('HSET', entry, 'thorough', thorough)
redis.call('HDEL', entry, 'ran', 'ranThorough', 'unless')
return {'add', math.max(0, due - now), string.format('%.0f', rank * RANK + tag)}
`,
};

/**
 * Renews a lease and bull's lock with it. KEYS lease, lock, stalled; ARGV token, milliseconds, bull's token, key.
 * Writes no new data, so that it works in a Redis that is full. Answers 1, or 0 if it is lost.
 */
export const RENEW: Script = {
  name: 'fairleadRenew',
  keys: 3,
  lua: `
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
if redis.call('GET', KEYS[2]) == ARGV[3] then redis.call('PEXPIRE', KEYS[2], ARGV[2]) end
redis.call('SREM', KEYS[3], ARGV[4])
return 1
`,
};

/** Answers the epoch. KEYS epoch, rest, fence; ARGV milliseconds of a lease. */
export const CHECK: Script = {
  name: 'fairleadCheck',
  keys: 3,
  lua: `${NOW}${EPOCH}
return epochOf(KEYS[1], KEYS[2], KEYS[3], ARGV[1])
`,
};

/** Gives a job back that was taken and not begun. KEYS active, wait, lock; ARGV key. */
export const PUT_BACK: Script = {
  name: 'fairleadPutBack',
  keys: 3,
  lua: `
if redis.call('LREM', KEYS[1], 1, ARGV[1]) > 0 then
  redis.call('DEL', KEYS[3])
  redis.call('RPUSH', KEYS[2], ARGV[1])
end
`,
};

/**
 * Of the keys given, those that ought to have a job of bull's and have none. KEYS known; ARGV the prefixes of
 * entries, leases and jobs, then keys. Answers {key, delay, priority, …}.
 */
export const ORPHANS: Script = {
  name: 'fairleadOrphans',
  keys: 1,
  lua: `${NOW}${HAS_JOB}
local found = {}
for i = 4, #ARGV do
  local key = ARGV[i]
  local entry = ARGV[1] .. key
  local e = redis.call('HMGET', entry, 'state', 'due', 'rank', 'tag')
  if not e[1] then
    redis.call('SREM', KEYS[1], key)
  elseif e[1] ~= 'parked' and not hasJob(ARGV[3] .. key)
    and redis.call('EXISTS', ARGV[2] .. key) == 0 then
    table.insert(found, key)
    table.insert(found, math.max(0, (tonumber(e[2]) or now) - now))
    table.insert(found, string.format('%.0f', (tonumber(e[3]) or 0) * 1099511627776 + (tonumber(e[4]) or 1)))
  end
end
return found
`,
};

/**
 * The states of keys. KEYS known; ARGV the prefix of entries, then keys. Answers for each key that there is
 * {key, account, state, waited or "", delayed 1 or 0, error}.
 */
export const STATES: Script = {
  name: 'fairleadStates',
  keys: 1,
  lua: `${NOW}
local states = {}
for i = 2, #ARGV do
  local e = redis.call('HMGET', ARGV[1] .. ARGV[i], 'state', 'account', 'due', 'error')
  local due = tonumber(e[3])
  if e[1] then
    table.insert(states, {
      ARGV[i], e[2] or '', e[1], due and due <= now and now - due or '', due and due > now and 1 or 0, e[4] or '',
    })
  end
end
return states
`,
};

/**
 * Takes a token of a bucket, which is kept as the time when it would be full again. KEYS bucket; ARGV microseconds
 * that one token takes to come, and tokens in a full bucket. Answers the microseconds until the token may be used.
 */
export const TOKEN: Script = {
  name: 'fairleadToken',
  keys: 1,
  lua: `
local t = redis.call('TIME')
local now = t[1] * 1000000 + t[2]
local each, burst = tonumber(ARGV[1]), tonumber(ARGV[2])
local full = tonumber(redis.call('GET', KEYS[1])) or now
-- So far ahead is nobody who waits: the clock was set back.
if full < now or full > now + (burst + 10000) * each then full = now end
full = full + each
redis.call('SET', KEYS[1], string.format('%.0f', full), 'PX', math.ceil((full - now) / 1000))
return math.ceil(math.max(0, full - now - burst * each))
`,
};

export const SCRIPTS: readonly Script[] = [ADD, BEGIN, END, RENEW, CHECK, PUT_BACK, ORPHANS, STATES, TOKEN];
