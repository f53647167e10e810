-- KEYS: lease, due, parked, timers, events, outbox | ARGV: none | returns: {now, holder, fence, until, entries, scheduled, overdue, oldest id, oldest score, parked, waiting, events, oldest event, letters}
-- How one slot stands, for people and probes: nothing here costs more than a step down a sorted set.
-- include: clock
local now = now_ms()
local lease = redis.call('HMGET', KEYS[1], 'h', 'f', 'u')
local oldest = redis.call('ZRANGE', KEYS[2], 0, 0, 'WITHSCORES')
local event = redis.call('XRANGE', KEYS[5], '-', '+', 'COUNT', 1)
return {
  now, lease[1] or '', lease[2] or 0, lease[3] or 0,
  redis.call('ZCARD', KEYS[2]), redis.call('ZCOUNT', KEYS[2], '-inf', '(inf'), redis.call('ZCOUNT', KEYS[2], '-inf', now),
  oldest[1] or '', oldest[2] or '', redis.call('HLEN', KEYS[3]), redis.call('ZCARD', KEYS[4]),
  redis.call('XLEN', KEYS[5]), event[1] and event[1][1] or '', redis.call('XLEN', KEYS[6]),
}
