-- Shared pieces, put in front of every script that says `-- include: common`. All state changes of a run go through here.

-- include: clock

-- Hand a message over: straight into the broker's list when it lives on this server, else into the outbox.
local function hand_over(prefix, direct, queue, message)
  if message == '' then return end -- the caller publishes it himself
  if direct == '1' then
    redis.call('LPUSH', queue, message)
  else
    redis.call('XADD', prefix .. 'outbox', '*', 'q', queue, 'm', message)
  end
end

-- A run that was only fired is queued, and one text instead of a hash, because most of the work of firing is writing runs. So is one
-- that a worker claimed and nobody has touched since; its text says that it is running. Whoever else touches a run opens it first.
-- The text may stand in a field as well: fires that have to wait leave it there.
local function open_run(key)
  if redis.call('TYPE', key).ok == 'string' then return spread(key, redis.call('GETDEL', key), {'s', 'queued'}) end
  local packed = redis.call('HGET', key, 'p')
  if not packed then return end
  redis.call('HDEL', key, 'p')
  spread(key, packed, {})
end

-- All fields of a run, by name and as the flat list that they came in: read once by scripts that every node of a graph pays for.
-- Without fields when there is none, or nobody has touched it yet.
local function facts_of(key)
  local flat, run = redis.pcall('HGETALL', key), {}
  if flat.err then
    if redis.call('GETRANGE', key, 0, 9) ~= 's\31running\31' then return run, {} end
    open_run(key)
    return facts_of(key)
  end
  for i = 1, #flat, 2 do run[flat[i]] = flat[i + 1] end
  if not run.p then return run, flat end
  open_run(key)
  return facts_of(key)
end

local function queue_run(prefix, direct, run_id, message, requeue_at)
  local key = prefix .. 'run:' .. run_id
  open_run(key)
  redis.call('HSET', key, 's', 'queued', 'qt', requeue_at)
  redis.call('ZADD', prefix .. 'timers', requeue_at, run_id)
  hand_over(prefix, direct, redis.call('HGET', key, 'q'), message)
end

-- include: gate

-- Free the overlap slot that a run holds, and let the next in line go.
local function free_busy(prefix, direct, job, run_id, requeue_at)
  if redis.call('HGET', prefix .. 'busy', job) ~= run_id then return end
  local line = prefix .. 'line:' .. job
  while true do
    local next_id = redis.call('LPOP', line)
    if not next_id then
      redis.call('HDEL', prefix .. 'busy', job)
      return
    end
    local message = held_run(prefix .. 'run:' .. next_id, 'm')[1]
    if message then
      redis.call('HDEL', prefix .. 'run:' .. next_id, 'm')
      redis.call('HSET', prefix .. 'busy', job, next_id)
      queue_run(prefix, direct, next_id, message, requeue_at)
      return
    end
  end
end

-- What the ledger keeps for itself: a message that waits, canvas, who works, how far it is, gates, and since when it is queued.
local UNTOLD = {s = true, h = true, m = true, cv = true, who = true, pg = true, lw = true, g = true, rg = true, rt = true, re = true, qt = true, se = true, rl = true}

-- One event of a run: the facts that history needs, so that a reader needs no earlier event. Returns its id. `flat`: its fields,
-- for whoever has read them.
local function tell(prefix, kind, run_id, now, extra, flat)
  local run = flat or redis.call('HGETALL', prefix .. 'run:' .. run_id)
  local fields = {'k', kind, 'r', run_id, 't', now}
  for i = 1, #run, 2 do
    if not UNTOLD[run[i]] then
      fields[#fields + 1] = '.' .. run[i]
      fields[#fields + 1] = run[i + 1]
    end
  end
  for i = 1, #extra do fields[#fields + 1] = extra[i] end
  return redis.call('XADD', prefix .. 'events', '*', unpack(fields))
end

-- The same of the first attempt at a run that is packed still: what `tell` would tell if it were opened. packed: what may be told.
local function tell_packed(prefix, kind, run_id, packed, now, extra)
  local fields, name = {'k', kind, 'r', run_id, 't', now}, true
  for part in string.gmatch(packed, '[^\31]+') do
    fields[#fields + 1] = name and '.' .. part or part
    name = not name
  end
  for i = 1, #extra do fields[#fields + 1] = extra[i] end
  return redis.call('XADD', prefix .. 'events', '*', unpack(fields))
end

-- Take back the event of a start that no recorder has read yet, because the end of that attempt tells the same: whether it was so.
local function take_back(prefix, id)
  if not id then return false end
  local read = redis.pcall('XPENDING', prefix .. 'events', 'recorder', id, id, 1)
  return not read.err and #read == 0 and redis.call('XDEL', prefix .. 'events', id) == 1
end

local end_run

-- include: dag

-- What the end of a run means to the DAG run whose node it is. 1 when a process must take it from here.
local function node_ended(prefix, direct, run, state, now, requeue_at, key_ttl, output)
  if not run.d then return 0 end
  local engine = dag_engine(prefix, direct, now, requeue_at, key_ttl, end_run, queue_run, hand_over)
  local fine, more = pcall(engine.ended, run.d, run.di, run.it, state, output or '', run.a, run.cv)
  if fine then return more end
  -- The run has ended all the same; a sweep of the DAG run finds out what its end means.
  redis.log(redis.LOG_WARNING, 'backbeat: ' .. run.d .. ': ' .. tostring(more))
  redis.call('ZADD', prefix .. 'dags', 'XX', now, run.d)
  return 1
end

-- Whoever works on a run is told to stop. A DAG run starts no further node from now on; a keeper stops those at work.
local function ask_to_stop(prefix, run_id, reason, now)
  redis.call('HSET', prefix .. 'run:' .. run_id, 'cancel', reason)
  if redis.call('ZSCORE', prefix .. 'dags', run_id) then
    redis.call('HSETNX', prefix .. 'dag:' .. run_id, 'cancel', reason)
    redis.call('ZADD', prefix .. 'dags', now, run_id)
  end
end

-- A terminal state: told once, then the run leaves Redis. A caller's idempotency key is kept for a stated time.
-- `output` is the text that children of a node need; `run` and `flat` are what facts_of says, for whoever has asked. Returns 1 when
-- a process must look after the DAG run.
function end_run(prefix, direct, run_id, state, now, requeue_at, key_ttl, extra, output, run, flat)
  local key = prefix .. 'run:' .. run_id
  if not run then
    open_run(key)
    run, flat = facts_of(key)
  end
  extra[#extra + 1] = 'state'
  extra[#extra + 1] = state
  tell(prefix, 'finished', run_id, now, extra, flat)
  if run.ky then redis.call('SET', prefix .. 'done:' .. run_id, state, 'PX', key_ttl) end
  local more = node_ended(prefix, direct, run, state, now, requeue_at, key_ttl, output)
  redis.call('DEL', key)
  redis.call('ZREM', prefix .. 'timers', run_id)
  if run.j then free_busy(prefix, direct, run.j, run_id, requeue_at) end
  leave_gates(prefix, direct, run_id, {run.j, run.g, run.rg, run.rt, run.re}, now, requeue_at)
  return more
end
