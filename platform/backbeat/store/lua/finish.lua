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
  if ask.direct ~= '1' or not pool or level == '9' then return false end
  local above = {}
  for urgent = level + 1, 9 do above[#above + 1] = pool .. urgent end
  return redis.call('EXISTS', unpack(above)) > 0
end

local run, flat = facts_of(KEYS[1])
if ARGV[15] ~= '' and run.rl and not urgent_waits(run.q) then
  ask.who, ask.worker, ask.lease_ms = ARGV[12], ARGV[13], ARGV[14]
  taker = {
    list = run.rl, queue = run.q, quick = '\n' .. ARGV[15] .. '\n',
    claim = function(run_id, known) return claim_next(ask, run_id, known, now) end,
  }
end
local reply = finish_run(ask, ARGV[2], run, flat, now, ARGV[4], ARGV[5], ARGV[6], ARGV[7], ARGV[11])
if taker and taker.taken then
  reply[5] = taker.taken
  for name, value in pairs(taker.fields) do
    reply[#reply + 1] = name
    reply[#reply + 1] = value
  end
end
return reply
