-- KEYS: run, timers | ARGV: prefix, run_id, holder, attempt, delay_ms, message, outcome, direct, requeue_ms, key_ttl, at_least | returns: {won, now, releases}
-- The holder gives a run back unfinished, through no fault of its job: its worker shuts down, or does not know the task.
-- at_least: the newest attempt that somebody else remembers; after a loss of data the numbers here had begun anew.
-- With delay_ms 0 the message goes out at once, else the run waits on the time index. The next claim raises the fence.
-- include: common
local now = now_ms()
local run = held_run(KEYS[1], 's', 'h', 'a', 'cancel')
if run[1] ~= 'running' or run[2] ~= ARGV[3] or run[3] ~= ARGV[4] then return {0, now, 0} end

local releases = redis.call('HINCRBY', KEYS[1], 'b', 1)
redis.call('HDEL', KEYS[1], 'h', 'who', 'se')
if run[4] then
  end_run(ARGV[1], ARGV[8], ARGV[2], 'cancelled', now, now + ARGV[9], ARGV[10], {'outcome', ARGV[7], 'reason', run[4]})
  return {1, now, releases}
end
open_run(KEYS[1])
tell(ARGV[1], 'released', ARGV[2], now, {'outcome', ARGV[7]})
local forgotten = tonumber(ARGV[11]) - tonumber(run[3])
if forgotten > 0 then
  redis.call('HINCRBY', KEYS[1], 'a', forgotten)
  redis.call('HINCRBY', KEYS[1], 'b', forgotten)
end
leave(ARGV[1], ARGV[8], ARGV[2], now, now + ARGV[9])
if ARGV[5] == '0' then
  queue_run(ARGV[1], ARGV[8], ARGV[2], ARGV[6], now + ARGV[9])
else
  redis.call('HSET', KEYS[1], 's', 'retrying')
  redis.call('ZADD', KEYS[2], now + ARGV[5], ARGV[2])
end
return {1, now, releases}
