-- KEYS: lock | ARGV: token, ttl_ms | returns: {held, ttl_ms}
-- Take or renew RedBeat's own lock, so that a stock RedBeat beside us waits. Whoever else holds it keeps it.
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then return {0, redis.call('PTTL', KEYS[1])} end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return {1, tonumber(ARGV[2])}
