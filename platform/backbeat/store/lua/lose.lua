-- KEYS: run, timers | ARGV: run_id, holder, pid, outcome | returns: {won, now}
-- The holder's parent saw the process die that worked on the run: let the reaper find it now instead of at the end of the
-- lease, and with the reason. Another process of the same worker may have the run by now; then nothing happens.
-- include: clock
local now = now_ms()
local run = held_run(KEYS[1], 's', 'h', 'who')
if run[1] ~= 'running' or run[2] ~= ARGV[2] or string.match(run[3] or '', '^%d+') ~= ARGV[3] then return {0, now} end
redis.call('HSET', KEYS[1], 'h', '', 'lw', ARGV[4])
redis.call('ZADD', KEYS[2], 0, ARGV[1])
return {1, now}
