-- KEYS: run, timers | ARGV: prefix, run_id, state seen, score seen, message, direct, requeue_ms, queue | returns: {queued, now}
-- Queue a run (again): a due retry, a delayed submission, a message that got lost, a release from quarantine.
-- queue: '' for the run's own, else the one that it waits in from now on.
-- message '' only waits longer. Refused when somebody else moved the run since it was read.
-- include: common
local now = now_ms()
local score = redis.call('ZSCORE', KEYS[2], ARGV[2]) or ''
open_run(KEYS[1])
if redis.call('HGET', KEYS[1], 's') ~= ARGV[3] or score ~= ARGV[4] then return {0, now} end

local requeue_at = now + ARGV[7]
if ARGV[8] ~= '' then
  redis.call('HSET', KEYS[1], 'q', ARGV[8])
  redis.call('HDEL', KEYS[1], 'rs')
  queue_run(ARGV[1], ARGV[6], ARGV[2], ARGV[5], requeue_at)
  return {1, now}
end
if ARGV[5] == '' then
  redis.call('ZADD', KEYS[2], requeue_at, ARGV[2])
  return {1, now}
end
if ARGV[3] == 'queued' then
  -- Sent again for want of a claim. Twice as long until the next time: in a long backlog none of them was lost.
  local again = redis.call('HINCRBY', KEYS[1], 'rs', 1)
  requeue_at = now + ARGV[7] * 2 ^ math.min(again, 6)
  tell(ARGV[1], 'queued', ARGV[2], now, {})
else
  redis.call('HDEL', KEYS[1], 'rs')
end
queue_run(ARGV[1], ARGV[6], ARGV[2], ARGV[5], requeue_at)
return {1, now}
