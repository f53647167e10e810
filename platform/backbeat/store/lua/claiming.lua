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

-- A run that nobody has touched since it was fired stays packed until its end: nothing of all that claim_run asks can be in it but a
-- start deadline, and its slot has no limits. Returns its packed facts, or nothing: ask claim_run.
local function claim_packed(ask, run_id, now)
  local key = ask.prefix .. 'run:' .. run_id
  local packed = take_untouched(key)
  if not packed then return nil end
  if string.find(packed, '\31dl\31', 1, true) then
    redis.call('HSET', key, 's', 'queued', 'p', packed)
    return nil
  end
  redis.call('HSET', key, 's', 'running', 'a', '1', 'h', ask.holder, 'w', ask.worker, 'st', now, 'who', ask.who, 'p', packed)
  if not ask.quiet then redis.call('HSET', key, 'se', tell_packed(ask.prefix, 'started', run_id, packed, now, ask.worker, now, {})) end
  return packed
end
