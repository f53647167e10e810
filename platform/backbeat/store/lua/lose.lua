-- KEYS: run, timers | ARGV: run_id, holder | returns: {won, now}
-- The holder's parent saw the child die: let the reaper find it now instead of at the end of the lease.
-- include: common
local now = now_ms()
local run = redis.call('HMGET', KEYS[1], 's', 'h')
if run[1] ~= 'running' or run[2] ~= ARGV[2] then return {0, now} end
redis.call('HSET', KEYS[1], 'h', '')
redis.call('ZADD', KEYS[2], 0, ARGV[1])
return {1, now}
