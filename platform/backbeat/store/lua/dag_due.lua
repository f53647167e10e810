-- KEYS: dags | ARGV: prefix, limit, again_ms | returns: {now, {id, cancel, deadline or ''}, ...}
-- The DAG runs that somebody should look at now; each is put off, so that no two keepers look at once.
-- include: clock
local now = now_ms()
local reply = {now}
for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, ARGV[2])) do
  redis.call('ZADD', KEYS[1], now + ARGV[3], id)
  local deadline = redis.call('HGET', ARGV[1] .. 'dag:' .. id, 'dl')
  reply[#reply + 1] = {id, held_run(ARGV[1] .. 'run:' .. id, 'cancel')[1] or '', deadline or ''}
end
return reply
