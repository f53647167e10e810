-- Winning one run for a holder, for the scripts that claim: one run a message, or many.
-- ask: {prefix, timers, holder, lease_ms, worker, direct, requeue_ms, key_ttl, who}, as claim.lua describes them; quiet: no start is told.
-- Returns 'claimed', or the verdict that this message is a duplicate or that its run can't start now ('gated', 'waits').
local function claim_run(ask, run_id, now, stock, canvas, gate)
  local key = ask.prefix .. 'run:' .. run_id
  open_run(key)
  local before = redis.call('HMGET', key, 's', 'h', 'who', 'cv')
  local state = before[1]
  if not state then
    -- A copy of a foreign message may come after its run has ended and left.
    if stock == '' or redis.call('EXISTS', ask.prefix .. 'done:' .. run_id) == 1 then return 'gone' end
    redis.call('HSET', key, 's', 'queued', 'a', '0', 'c', now, unpack(cjson.decode(stock)))
  elseif state == 'running' and ask.who ~= '' and before[2] == ask.holder and before[3] == ask.who then
    return 'claimed'
  elseif state ~= 'queued' then
    return state
  end

  local deadline = redis.call('HGET', key, 'dl')
  if deadline and now > tonumber(deadline) then
    end_run(ask.prefix, ask.direct, run_id, 'expired', now, now + ask.requeue_ms, ask.key_ttl, {'reason', 'expired'})
    return 'expired'
  end

  if canvas ~= '' then
    redis.call('HSET', key, 'cv', canvas)
  elseif before[4] then
    -- An earlier message brought canvas along, this one does not.
    redis.call('HDEL', key, 'cv')
  end
  local shut = pass_gates(ask.prefix, ask.direct, run_id, gate, now, now + ask.requeue_ms)
  if shut then
    -- A foreign message's run is known from here on, so it must not be forgotten.
    redis.call('ZADD', ask.timers, 'NX', now + ask.requeue_ms, run_id)
    return shut
  end

  redis.call('HINCRBY', key, 'a', 1)
  redis.call('HSET', key, 's', 'running', 'h', ask.holder, 'w', ask.worker, 'st', now, 'who', ask.who)
  redis.call('ZADD', ask.timers, now + ask.lease_ms, run_id)
  if not ask.quiet then redis.call('HSET', key, 'se', tell(ask.prefix, 'started', run_id, now, {})) end
  return 'claimed'
end

-- The next node of a DAG run, for whoever has ended another one. `run`: its fields, which tell all that claim_run would ask: it is queued,
-- waits at no gate and has no start deadline, and its slot has no limits. Any other is claimed as always.
-- Its start is told when its lease is renewed (renew.lua); most have ended by then, which tells the same.
-- Returns the verdict, and its fields by now.
local function claim_next(ask, run_id, run, now)
  local key = ask.prefix .. 'run:' .. run_id
  if run.dl or run.cv or run.g or run.rt or redis.call('EXISTS', ask.prefix .. 'limits') == 1 then
    local verdict = claim_run(ask, run_id, now, '', '', '')
    return verdict, verdict == 'claimed' and facts_of(key) or nil
  end
  run.s, run.a, run.h, run.w, run.st = 'running', string.format('%d', run.a + 1), ask.holder, ask.worker, string.format('%d', now)
  run.who, run.se = ask.who, ''
  redis.call('HSET', key, 's', run.s, 'a', run.a, 'h', run.h, 'w', run.w, 'st', run.st, 'who', run.who, 'se', run.se)
  redis.call('ZADD', ask.timers, now + ask.lease_ms, run_id)
  return 'claimed', run
end

local function pair(name, value)
  return value ~= '' and name .. '\31' .. value .. '\31' or ''
end

-- Whether a run may stay packed when it is claimed: nobody has touched it since it was fired, its slot has no limits, and of all that
-- claim_run asks nothing else can be in it but a start deadline. packed: what MGET says, which knows texts alone.
local function is_plain(packed)
  return packed and string.sub(packed, 1, 2) ~= 's\31' and not string.find(packed, '\31dl\31', 1, true)
end

-- What such a run's text has before its facts from now on: what the ledger keeps for itself (started: the id of the event that told
-- of its start, '' for none), and what history is told. finish_many.lua reads both.
local function untold_of(ask, started)
  return 's\31running\31' .. pair('h', ask.holder) .. pair('se', started) .. pair('who', ask.who)
end

local function told_of(ask, now)
  return 'a\0311\31' .. pair('w', ask.worker) .. 'st\31' .. now .. '\31'
end
