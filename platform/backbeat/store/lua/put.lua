-- KEYS: due, entries, parked, spent | ARGV: id, timing, record, score, limit, had | returns: {now, kept}
-- Write one schedule into the index. An entry whose timing is unchanged keeps its place: it may be due this very moment.
-- limit: how many runs it may have in all, '' for any number; one that has had them stays known and is never due.
-- had: how many it had by what history knows, for a count that was lost.
-- include: clock
local kept = 0
if ARGV[6] ~= '' then redis.call('HSETNX', KEYS[4], ARGV[1], ARGV[6]) end
local before = redis.call('HGET', KEYS[2], ARGV[1])
if ARGV[5] ~= '' and tonumber(redis.call('HGET', KEYS[4], ARGV[1]) or 0) >= tonumber(ARGV[5]) then
  redis.call('ZADD', KEYS[1], 'inf', ARGV[1])
elseif before and string.sub(before, 1, #ARGV[2] + 1) == ARGV[2] .. '\30' and redis.call('ZSCORE', KEYS[1], ARGV[1]) then
  kept = 1
else
  redis.call('ZADD', KEYS[1], ARGV[4], ARGV[1])
end
redis.call('HSET', KEYS[2], ARGV[1], ARGV[3])
redis.call('HDEL', KEYS[3], ARGV[1])
return {now_ms(), kept}
