-- How many runs of a job may work at once, and how many may start in a time. A part of common.lua.
-- A gate is a job, or a job and a key: '<job>' or '<job>:<key>'. Keys behind the slot's prefix:
--   limits       hash  job -> JSON: n runs at once, ck template of their key; every (ms) a start, burst, rk template of that key
--   hold:<gate>  zset  run -> since when it has one of the n places; one that was let in and is queued has its place already
--   wait:<gate>  zset  run -> when it was created: the oldest is let in first, by whoever gives a place back
--   rate:<gate>  hash  t tokens, u when they were counted, l the end of the line: when the next one to wait has its token
-- A run has g, its gate, while it holds a place or waits for one; rg and rt, until when, while it waits for a token; re, what
-- a token cost then. A run that waits is pending, and looked at each LOOK_MS: nobody waits for what nobody gives back.

local LOOK_MS = 60000

local function limits_of(prefix, job)
  local text = redis.call('HGET', prefix .. 'limits', job)
  return text and cjson.decode(text) or {}
end

-- Let those in who wait longest, as long as there are places.
local function let_in(prefix, direct, gate, most, now, requeue_at)
  while redis.call('ZCARD', prefix .. 'hold:' .. gate) < (most or math.huge) do
    local next_id = redis.call('ZPOPMIN', prefix .. 'wait:' .. gate)[1]
    if not next_id then return end
    local message = held_run(prefix .. 'run:' .. next_id, 'm')[1]
    if message then
      redis.call('ZADD', prefix .. 'hold:' .. gate, now, next_id)
      redis.call('HDEL', prefix .. 'run:' .. next_id, 'm')
      queue_run(prefix, direct, next_id, message, requeue_at)
    end
  end
end

-- Give back what a run has at its gates, whatever becomes of it.
local function leave_gates(prefix, direct, run_id, run, now, requeue_at)
  local job, gate, rate_gate, target, every = unpack(run)
  if gate then
    redis.call('HDEL', prefix .. 'run:' .. run_id, 'g')
    redis.call('ZREM', prefix .. 'wait:' .. gate, run_id)
    if redis.call('ZREM', prefix .. 'hold:' .. gate, run_id) == 1 then
      let_in(prefix, direct, gate, limits_of(prefix, job).n, now, requeue_at)
    end
  end
  if target then
    redis.call('HDEL', prefix .. 'run:' .. run_id, 'rg', 'rt', 're')
    -- Those who come later need not wait for the turn that it had.
    local rate = prefix .. 'rate:' .. rate_gate
    if tonumber(target) > now and redis.call('EXISTS', rate) == 1 then redis.call('HINCRBYFLOAT', rate, 'l', -every) end
  end
end

local GATE_FIELDS = {'j', 'g', 'rg', 'rt', 're'}

local function leave(prefix, direct, run_id, now, requeue_at)
  leave_gates(prefix, direct, run_id, redis.call('HMGET', prefix .. 'run:' .. run_id, unpack(GATE_FIELDS)), now, requeue_at)
end

-- Take a token: 0, or how long (ms) to wait for one. Whoever comes new goes behind those who wait.
local function take_token(key, limits, now, again)
  local bucket = redis.call('HMGET', key, 't', 'u', 'l')
  local since = math.max(0, now - tonumber(bucket[2] or now))
  local tokens = math.min(limits.burst, tonumber(bucket[1] or limits.burst) + since / limits.every)
  local line, wait = math.max(now, tonumber(bucket[3] or 0)), 0
  if tokens > 0.999999 and (again or line == now) then
    tokens = tokens - 1
  elseif again then
    wait = (1 - tokens) * limits.every
  else
    wait = math.max(line - now, (1 - tokens) * limits.every)
    line = now + wait + limits.every
  end
  redis.call('HSET', key, 't', string.format('%.6f', tokens), 'u', now, 'l', string.format('%.3f', line))
  redis.call('PEXPIRE', key, math.ceil(line - now + limits.burst * limits.every) + 1000)
  return math.ceil(wait)
end

local function put_aside(prefix, run_id, at, fields)
  redis.call('HSET', prefix .. 'run:' .. run_id, 's', 'pending', unpack(fields))
  redis.call('ZADD', prefix .. 'timers', at, run_id)
  return 'waits'
end

-- Whether a queued run may start: nil, and it has its place and its token; 'waits', and it is put aside; or 'gated': ask again
-- with `given`, JSON of ck and rk, its keys, and m, the message by which it is queued once it is let in.
local function pass_gates(prefix, direct, run_id, given, now, requeue_at)
  local run = redis.call('HMGET', prefix .. 'run:' .. run_id, 'j', 'g', 'rt', 'c')
  local limits = limits_of(prefix, run[1])
  if not limits.n and not limits.every then return nil end
  if given == '' and (limits.ck and not run[2] or limits.rk) then return 'gated' end
  local keys = given ~= '' and cjson.decode(given) or {}
  local function gate_of(key) return key and key ~= '' and run[1] .. ':' .. key or run[1] end

  local gate = run[2] or gate_of(keys.ck)
  local hold = prefix .. 'hold:' .. gate
  if limits.n and not redis.call('ZSCORE', hold, run_id) then
    let_in(prefix, direct, gate, limits.n, now, requeue_at)
    if redis.call('ZCARD', hold) >= limits.n then
      if given == '' then return 'gated' end
      redis.call('ZADD', prefix .. 'wait:' .. gate, run[4], run_id)
      return put_aside(prefix, run_id, now + LOOK_MS, {'g', gate, 'm', keys.m})
    end
  end
  if limits.every then
    local rate_gate = gate_of(keys.rk)
    local wait = take_token(prefix .. 'rate:' .. rate_gate, limits, now, run[3])
    if wait > 0 then
      leave_gates(prefix, direct, run_id, {run[1], run[2]}, now, requeue_at)
      return put_aside(prefix, run_id, now + math.min(wait, LOOK_MS), {'rg', rate_gate, 'rt', now + wait, 're', limits.every})
    end
    redis.call('HDEL', prefix .. 'run:' .. run_id, 'rg', 'rt', 're')
  end
  if limits.n then
    redis.call('ZADD', hold, now, run_id)
    redis.call('HSET', prefix .. 'run:' .. run_id, 'g', gate)
  end
  return nil
end

-- A pending run that is looked at: true when it waits at a gate, and rightly so. The limits may have changed meanwhile, and
-- a place may be held by a run that somebody deleted by hand.
local function still_waits(prefix, direct, run_id, now, requeue_at)
  local job, gate, _, target, every = unpack(redis.call('HMGET', prefix .. 'run:' .. run_id, unpack(GATE_FIELDS)))
  local limits = limits_of(prefix, job)
  if gate and redis.call('ZSCORE', prefix .. 'wait:' .. gate, run_id) then
    redis.call('ZADD', prefix .. 'timers', now + LOOK_MS, run_id)
    local oldest = redis.call('ZRANGE', prefix .. 'hold:' .. gate, 0, 0)[1]
    if oldest and redis.call('EXISTS', prefix .. 'run:' .. oldest) == 0 then redis.call('ZREM', prefix .. 'hold:' .. gate, oldest) end
    let_in(prefix, direct, gate, limits.n, now, requeue_at)
    return true
  end
  if target and tonumber(target) > now and limits.every == tonumber(every) then
    redis.call('ZADD', prefix .. 'timers', math.min(tonumber(target), now + LOOK_MS), run_id)
    return true
  end
  return false
end
