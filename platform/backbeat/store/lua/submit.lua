-- KEYS: run, timers | ARGV: prefix, run_id, direct, requeue_ms, delay_ms, message, fields | returns: {now, created, state}
-- Create a run that a caller asked for and hand its message over; asked twice for one id, the second changes nothing.
-- delay_ms > 0 keeps it pending on the time index: nothing is ever held in a broker.
-- include: common
local now = now_ms()
open_run(KEYS[1])
local state = redis.call('HGET', KEYS[1], 's') or redis.call('GET', ARGV[1] .. 'done:' .. ARGV[2])
if state then return {now, 0, state} end

redis.call('HSET', KEYS[1], 'a', '0', 'c', now, unpack(cjson.decode(ARGV[7])))
if tonumber(ARGV[5]) > 0 then
  redis.call('HSET', KEYS[1], 's', 'pending', 'e', now + ARGV[5])
  redis.call('ZADD', KEYS[2], now + ARGV[5], ARGV[2])
  return {now, 1, 'pending'}
end
queue_run(ARGV[1], ARGV[3], ARGV[2], ARGV[6], now + ARGV[4])
return {now, 1, 'queued'}
