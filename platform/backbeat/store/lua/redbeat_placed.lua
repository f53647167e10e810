-- KEYS: schedule | ARGV: score, entry, ... | returns: {placed}
-- Show in RedBeat's own set when entries are next due. One that was saved meanwhile has no mark, and must not get one here.
local placed = 0
for i = 1, #ARGV, 2 do
  local score = redis.call('ZSCORE', KEYS[1], ARGV[i + 1])
  if score and tonumber(score) % 1 == 0.5 then
    redis.call('ZADD', KEYS[1], ARGV[i], ARGV[i + 1])
    placed = placed + 1
  end
end
return {placed}
