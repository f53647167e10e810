-- KEYS: run, timers | ARGV: prefix, run_id, holder, attempt, state, delay_ms, outcome, direct, requeue_ms, key_ttl, output | returns: {won, now, state found, dag}
-- End an attempt. Only the holder of the running attempt wins; attempt '' is the holder's parent speaking for a dead child.
-- delay_ms '' makes the state final; a number puts the run back on the time index as retrying.
-- A run that was asked to stop and did not succeed is cancelled, however it ended.
-- output: what the children of a DAG's node need; dag: 1 when a process must look after the DAG run.
-- include: common
-- include: finishing
local ask = {
  prefix = ARGV[1], timers = KEYS[2], holder = ARGV[3], direct = ARGV[8], requeue_ms = ARGV[9], key_ttl = ARGV[10],
}
return finish_run(ask, ARGV[2], now_ms(), ARGV[4], ARGV[5], ARGV[6], ARGV[7], ARGV[11])
