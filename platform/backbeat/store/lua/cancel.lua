-- KEYS: run | ARGV: prefix, run_id, reason, direct, requeue_ms, key_ttl | returns: {outcome, now}
-- Cancel a run: at once when nobody works on it ('cancelled'), else the worker is asked to stop it ('asked'); 'gone' when it is over.
-- include: common
local now = now_ms()
open_run(KEYS[1])
local state = redis.call('HGET', KEYS[1], 's')
if not state then return {'gone', now} end
if state == 'running' then
  ask_to_stop(ARGV[1], ARGV[2], ARGV[3], now)
  return {'asked', now}
end
end_run(ARGV[1], ARGV[4], ARGV[2], 'cancelled', now, now + ARGV[5], ARGV[6], {'reason', ARGV[3]})
return {'cancelled', now}
