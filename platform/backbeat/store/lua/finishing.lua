-- Ending one attempt, for the scripts that finish: one run a script, or many.
-- ask: {prefix, timers, holder, direct, requeue_ms, key_ttl}, as finish.lua describes them, and so the other arguments.
-- run, flat: what facts_of says of it.
-- Returns {won, now, state, dag}.
local function finish_run(ask, run_id, run, flat, now, attempt, state, delay_ms, outcome, output)
  local key = ask.prefix .. 'run:' .. run_id
  if run.s ~= 'running' or run.h ~= ask.holder or (attempt ~= '' and run.a ~= attempt) then
    return {0, now, run.s or 'gone', 0}
  end

  local told, final = {'outcome', outcome}, delay_ms == ''
  if run.cancel and state ~= 'succeeded' then
    state, told, final = 'cancelled', {'outcome', outcome, 'reason', run.cancel}, true
  end
  if final then
    if run.se == '' or take_back(ask.prefix, run.se) then
      told[#told + 1] = 'fresh'
      told[#told + 1] = '1'
    end
    return {1, now, state, end_run(ask.prefix, ask.direct, run_id, state, now, now + ask.requeue_ms, ask.key_ttl, told, output, run, flat)}
  end
  redis.call('HDEL', key, 'who', 'se')
  tell(ask.prefix, 'retrying', run_id, now, {'state', state, 'outcome', outcome, 'delay', delay_ms})
  redis.call('HSET', key, 's', 'retrying')
  leave(ask.prefix, ask.direct, run_id, now, now + ask.requeue_ms)
  redis.call('ZADD', ask.timers, now + delay_ms, run_id)
  return {1, now, state, 0}
end
