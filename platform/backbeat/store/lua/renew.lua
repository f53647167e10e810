-- KEYS: timers | ARGV: prefix, holder, lease_ms, run_id, ... | returns: {now, held ids, cancelled ids}
-- One heartbeat for all runs of a worker in a slot. An id that is not in `held` is not this worker's (any more).
-- include: clock
local now = now_ms()
local held, cancelled = {}, {}
for i = 4, #ARGV do
  local run = redis.call('HMGET', ARGV[1] .. 'run:' .. ARGV[i], 's', 'h', 'cancel')
  if run[1] == 'running' and run[2] == ARGV[2] then
    redis.call('ZADD', KEYS[1], 'XX', now + ARGV[3], ARGV[i])
    held[#held + 1] = ARGV[i]
    if run[3] then cancelled[#cancelled + 1] = ARGV[i] end
  end
end
return {now, held, cancelled}
