-- KEYS: members, layout | ARGV: holder, ttl_ms, leave, slots, shards | returns: {now, slots, shards, holder, ...}
-- Who is alive among the schedulers: a zset of holder -> time until which it counts. And how all is divided: the numbers
-- of whoever came first, until somebody changes that of the shards.
-- include: clock
local now = now_ms()
if ARGV[3] == '1' then
  redis.call('ZREM', KEYS[1], ARGV[1])
else
  redis.call('ZADD', KEYS[1], now + ARGV[2], ARGV[1])
end
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
redis.call('HSETNX', KEYS[2], 'slots', ARGV[4])
redis.call('HSETNX', KEYS[2], 'shards', ARGV[5])
local reply = redis.call('ZRANGE', KEYS[1], 0, -1)
local layout = redis.call('HMGET', KEYS[2], 'slots', 'shards')
table.insert(reply, 1, layout[2])
table.insert(reply, 1, layout[1])
table.insert(reply, 1, now)
return reply
