-- KEYS: foreign, due, entries, parked, jobs, templates, counts, fired | ARGV: fence, id, note, timing, record, score, template id, template, count, reason | returns: {now, taken, kept}
-- Write one entry of another scheduler's storage: due with its record, parked with a reason, idle with neither.
-- note: what leads back to the storage; without one the entry is forgotten. count: its fires before it came here.
-- The highest fence seen refuses a leader that stood still and would undo its successor's work.
-- include: clock
local now, id = now_ms(), ARGV[2]
if tonumber(redis.call('HGET', KEYS[1], '') or 0) > tonumber(ARGV[1]) then return {now, 0, 0} end
redis.call('HSET', KEYS[1], '', ARGV[1])

if ARGV[5] == '' then
  redis.call('ZREM', KEYS[2], id)
  redis.call('HDEL', KEYS[3], id)
end
if ARGV[10] == '' then redis.call('HDEL', KEYS[4], id) else redis.call('HSET', KEYS[4], id, ARGV[10]) end
if ARGV[3] == '' then
  redis.call('HDEL', KEYS[1], id)
  redis.call('HDEL', KEYS[5], id)
  redis.call('HDEL', KEYS[7], id)
  redis.call('ZREM', KEYS[8], id)
  return {now, 1, 0}
end
redis.call('HSET', KEYS[1], id, ARGV[3])
redis.call('HSETNX', KEYS[7], id, ARGV[9])
if ARGV[5] == '' then return {now, 1, 0} end

redis.call('HSETNX', KEYS[6], ARGV[7], ARGV[8])
redis.call('HSET', KEYS[5], id, ARGV[7])
local before, kept = redis.call('HGET', KEYS[3], id), 0
if before and string.sub(before, 1, #ARGV[4] + 1) == ARGV[4] .. '\30' and redis.call('ZSCORE', KEYS[2], id) then
  kept = 1 -- it may be due this very moment
else
  redis.call('ZADD', KEYS[2], ARGV[6], id)
end
redis.call('HSET', KEYS[3], id, ARGV[5])
return {now, 1, kept}
