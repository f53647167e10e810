-- KEYS: dag | ARGV: prefix, run_id, hold | returns: {changed, now}
-- Hold a DAG run (nodes that run go on, no other starts) or let it go on.
-- include: clock
local now = now_ms()
if redis.call('HGET', KEYS[1], 'j') == false or redis.call('ZSCORE', ARGV[1] .. 'dags', ARGV[2]) == false then return {0, now} end
if ARGV[3] == '1' then return {redis.call('HSETNX', KEYS[1], 'paused', '1'), now} end

local changed = redis.call('HDEL', KEYS[1], 'paused')
while redis.call('LMOVE', ARGV[1] .. 'dag.p:' .. ARGV[2], ARGV[1] .. 'dag.t:' .. ARGV[2], 'LEFT', 'RIGHT') do end
redis.call('ZADD', ARGV[1] .. 'dags', 'XX', now, ARGV[2])
return {changed, now}
