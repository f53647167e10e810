-- KEYS: processes, process | ARGV: id, ttl_ms, age_ms, idle_ms, field, value, ... | returns: {now}
-- One process says that it lives: since when, when its work last moved on (now - idle_ms), and its figures.
-- Ages are measured by the process, so that only this server's clock is ever compared with itself.
-- include: clock
local now = now_ms()
redis.call('HSETNX', KEYS[2], 'started', now - ARGV[3])
redis.call('HSET', KEYS[2], 'seen', now, 'progress', now - ARGV[4], unpack(ARGV, 5))
redis.call('PEXPIRE', KEYS[2], ARGV[2])
redis.call('ZADD', KEYS[1], now + ARGV[2], ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
return {now}
