-- KEYS: run, timers | ARGV: prefix, run_id, holder, attempt, state, delay_ms, outcome, direct, requeue_ms, key_ttl, output, who, worker, lease_ms, quick | returns: {won, now, state found, dag, next run, field, value, ...}
-- End an attempt. Only the holder of the running attempt wins; attempt '' is the holder's parent speaking for a dead child.
-- delay_ms '' makes the state final; a number puts the run back on the time index as retrying.
-- A run that was asked to stop and did not succeed is cancelled, however it ended.
-- output: what the children of a DAG's node need; dag: 1 when a process must look after the DAG run.
-- quick: jobs, one a line, of which the holder would do the DAG run's next node at once, when it is of the same queue and
-- nothing more urgent waits. The run that it has won thereby, by the rules of claim.lua, and its fields end the answer. '' for none.
-- include: common
-- include: claiming
-- include: finishing
local now = now_ms()
local prefix = ARGV[1]
local ask = {prefix = prefix, timers = KEYS[2], holder = ARGV[3], direct = ARGV[8], requeue_ms = ARGV[9], key_ttl = ARGV[10]}

-- Whether a more urgent queue of the same pool has messages. What waits at another broker is not seen here.
local function urgent_waits(queue)
  local pool, level = string.match(queue, '^(.*%.p)(%d)$')
  if ask.direct ~= '1' or not pool then return false end
  for above = level + 1, 9 do
    if redis.call('EXISTS', pool .. above) == 1 then return true end
  end
  return false
end

local run = ARGV[15] ~= '' and held_run(KEYS[1], 'q', 'rl') or {}
if run[2] and not urgent_waits(run[1]) then
  ask.who, ask.worker, ask.lease_ms = ARGV[12], ARGV[13], ARGV[14]
  taker = {
    list = run[2], queue = run[1], quick = '\n' .. ARGV[15] .. '\n',
    claim = function(run_id) return claim_run(ask, run_id, now, '', '', '') end,
  }
end
local reply = finish_run(ask, ARGV[2], now, ARGV[4], ARGV[5], ARGV[6], ARGV[7], ARGV[11])
if taker and taker.taken then
  reply[5] = taker.taken
  for _, part in ipairs(redis.call('HGETALL', prefix .. 'run:' .. taker.taken)) do reply[#reply + 1] = part end
end
return reply
