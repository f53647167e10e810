-- KEYS: fired | ARGV: score seen, id, ... | returns: {now, forgotten}
-- Fires that were reported to the storage they came from, unless there was another one meanwhile.
-- include: clock
local forgotten = 0
for i = 1, #ARGV, 2 do
  if redis.call('ZSCORE', KEYS[1], ARGV[i + 1]) == ARGV[i] then forgotten = forgotten + redis.call('ZREM', KEYS[1], ARGV[i + 1]) end
end
return {now_ms(), forgotten}
