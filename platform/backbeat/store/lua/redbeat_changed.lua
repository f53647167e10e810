-- KEYS: schedule | ARGV: from, limit | returns: {seen, entry, ...}
-- Which of RedBeat's entries were saved since they were last looked at. RedBeat writes a score of whole seconds with every
-- save; half a second on top is our mark, set here, before the entry is read, so that a save meanwhile is seen the next time.
local found = redis.call('ZRANGE', KEYS[1], ARGV[1], ARGV[1] + ARGV[2] - 1, 'WITHSCORES')
local reply = {#found / 2}
for i = 1, #found, 2 do
  local score = tonumber(found[i + 1])
  if score % 1 ~= 0.5 then
    redis.call('ZADD', KEYS[1], math.floor(score) + 0.5, found[i])
    reply[#reply + 1] = found[i]
  end
end
return reply
