-- KEYS: members | ARGV: holder, ttl_ms, leave | returns: {now, holder, ...}
-- Who is alive among the schedulers: a zset of holder -> time until which it counts.
-- include: common
local now = now_ms()
if ARGV[3] == '1' then
  redis.call('ZREM', KEYS[1], ARGV[1])
else
  redis.call('ZADD', KEYS[1], now + ARGV[2], ARGV[1])
end
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
local reply = redis.call('ZRANGE', KEYS[1], 0, -1)
table.insert(reply, 1, now)
return reply
