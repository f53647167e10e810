-- KEYS: timers | ARGV: prefix, holder, lease_ms, who, run_id, ... | returns: {now, held ids, cancelled ids}
-- One heartbeat for all runs of a worker in a slot. An id that is not in `held` is not this worker's (any more).
-- who: '' for any of the holder's claims, else the one claim that may renew: a run may have come back to the same worker.
-- A run whose claim told no start (quiet, or a node without a message: claiming.lua), and that lasts, is told of here.
-- include: common
local now = now_ms()
local held, cancelled = {}, {}
for i = 5, #ARGV do
  local key = ARGV[1] .. 'run:' .. ARGV[i]
  local run = held_run(key, 's', 'h', 'cancel', 'who', 'se')
  if run[1] == 'running' and run[2] == ARGV[2] and (ARGV[4] == '' or run[4] == ARGV[4]) then
    redis.call('ZADD', KEYS[1], 'XX', now + ARGV[3], ARGV[i])
    if not run[5] or run[5] == '' then redis.call('HSET', key, 'se', tell(ARGV[1], 'started', ARGV[i], now, {})) end
    held[#held + 1] = ARGV[i]
    if run[3] then cancelled[#cancelled + 1] = ARGV[i] end
  end
end
return {now, held, cancelled}
