-- KEYS: run, timers | ARGV: prefix, run_id, holder, attempt, state, delay_ms, outcome, direct, requeue_ms, key_ttl, output | returns: {won, now, state found, dag}
-- End an attempt. Only the holder of the running attempt wins; attempt '' is the holder's parent speaking for a dead child.
-- delay_ms '' makes the state final; a number puts the run back on the time index as retrying.
-- A run that was asked to stop and did not succeed is cancelled, however it ended.
-- output: what the children of a DAG's node need; dag: 1 when a process must look after the DAG run.
-- include: common
local now = now_ms()
local run = redis.call('HMGET', KEYS[1], 's', 'h', 'a', 'cancel')
if run[1] ~= 'running' or run[2] ~= ARGV[3] or (ARGV[4] ~= '' and run[3] ~= ARGV[4]) then
  return {0, now, run[1] or 'gone', 0}
end

local more = 0
local state, told = ARGV[5], {'outcome', ARGV[7]}
if run[4] and state ~= 'succeeded' then
  state, told = 'cancelled', {'outcome', ARGV[7], 'reason', run[4]}
end
redis.call('HDEL', KEYS[1], 'who')
if ARGV[6] ~= '' and state == ARGV[5] then
  tell(ARGV[1], 'retrying', ARGV[2], now, {'state', ARGV[5], 'outcome', ARGV[7], 'delay', ARGV[6]})
  redis.call('HSET', KEYS[1], 's', 'retrying')
  redis.call('ZADD', KEYS[2], now + ARGV[6], ARGV[2])
else
  more = end_run(ARGV[1], ARGV[8], ARGV[2], state, now, now + ARGV[9], ARGV[10], told, ARGV[11])
end
return {1, now, state, more}
