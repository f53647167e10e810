-- KEYS: run, timers | ARGV: prefix, run_id, direct, requeue_ms, delay_ms, message, fields, job, in_force | returns: {now, created, state}
-- Create a run that a caller asked for and hand its message over; asked twice for one id, the second changes nothing.
-- delay_ms > 0 keeps it pending on the time index: nothing is ever held in a broker.
-- in_force: the template that the job has as the caller heard it before, NONE when it has none; if that is not so any more, nothing
-- is done and the state is 'changed'. '' asks nothing.
-- include: common
local now = now_ms()
if ARGV[9] ~= '' and (redis.call('HGET', ARGV[1] .. 'jobs', ARGV[8]) or 'NONE') ~= ARGV[9] then return {now, 0, 'changed'} end
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
