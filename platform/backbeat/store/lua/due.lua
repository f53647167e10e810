-- KEYS: lease, due, entries | ARGV: holder, fence, limit, ahead_ms | returns: {now, leads, next score or '', {id, score, ...}, {record, ...}}
-- What is due in one shard, with its records: one round trip a tick. A record that is missing comes back as nothing.
-- include: clock
local now = now_ms()
if not leads(KEYS[1], ARGV[1], ARGV[2], now) then return {now, 0, '', {}, {}} end

local found = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', now + ARGV[4], 'WITHSCORES', 'LIMIT', 0, ARGV[3])
if #found == 0 then return {now, 1, redis.call('ZRANGE', KEYS[2], 0, 0, 'WITHSCORES')[2] or '', {}, {}} end
local ids = {}
for i = 1, #found, 2 do ids[#ids + 1] = found[i] end
return {now, 1, '', found, redis.call('HMGET', KEYS[3], unpack(ids))}
