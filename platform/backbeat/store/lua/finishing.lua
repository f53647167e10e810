-- Ending one attempt, for the scripts that finish: one run a script, or many.
-- ask: {prefix, timers, holder, direct, requeue_ms, key_ttl}, as finish.lua describes them, and so the other arguments.
-- Returns {won, now, state, dag}.
local function finish_run(ask, run_id, now, attempt, state, delay_ms, outcome, output)
  local key = ask.prefix .. 'run:' .. run_id
  local run = held_run(key, 's', 'h', 'a', 'cancel', 'se')
  if run[1] ~= 'running' or run[2] ~= ask.holder or (attempt ~= '' and run[3] ~= attempt) then
    return {0, now, run[1] or 'gone', 0}
  end

  local told, final = {'outcome', outcome}, delay_ms == ''
  if run[4] and state ~= 'succeeded' then
    state, told, final = 'cancelled', {'outcome', outcome, 'reason', run[4]}, true
  end
  redis.call('HDEL', key, 'who', 'se')
  if final then
    if take_back(ask.prefix, run[5]) then
      told[#told + 1] = 'fresh'
      told[#told + 1] = '1'
    end
    return {1, now, state, end_run(ask.prefix, ask.direct, run_id, state, now, now + ask.requeue_ms, ask.key_ttl, told, output)}
  end
  open_run(key)
  tell(ask.prefix, 'retrying', run_id, now, {'state', state, 'outcome', outcome, 'delay', delay_ms})
  redis.call('HSET', key, 's', 'retrying')
  leave(ask.prefix, ask.direct, run_id, now, now + ask.requeue_ms)
  redis.call('ZADD', ask.timers, now + delay_ms, run_id)
  return {1, now, state, 0}
end
