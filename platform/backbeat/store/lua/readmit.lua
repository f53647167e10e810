-- KEYS: run, timers | ARGV: prefix, run_id, message, overlap, direct, requeue_ms | returns: {readmitted, now, state}
-- An operator lets a quarantined run go on: its losses are forgiven, its attempts go on counting.
-- State: queued, or pending when another run of the job holds the slot; for any other run the one it is in, 'gone' when over.
-- include: common
local now = now_ms()
open_run(KEYS[1])
local run = redis.call('HMGET', KEYS[1], 's', 'j')
if run[1] ~= 'quarantined' then return {0, now, run[1] or 'gone'} end

redis.call('HDEL', KEYS[1], 'l', 'lw')
tell(ARGV[1], 'queued', ARGV[2], now, {})
local holder = ARGV[4] ~= 'allow' and redis.call('HGET', ARGV[1] .. 'busy', run[2])
if holder then
  redis.call('HSET', KEYS[1], 's', 'pending', 'm', ARGV[3])
  redis.call('RPUSH', ARGV[1] .. 'line:' .. run[2], ARGV[2])
  return {1, now, 'pending'}
end
if ARGV[4] ~= 'allow' then redis.call('HSET', ARGV[1] .. 'busy', run[2], ARGV[2]) end
queue_run(ARGV[1], ARGV[5], ARGV[2], ARGV[3], now + ARGV[6])
return {1, now, 'queued'}
