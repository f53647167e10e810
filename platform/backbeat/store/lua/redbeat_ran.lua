-- KEYS: entry | ARGV: meta | returns: {written}
-- Tell an entry of RedBeat's that it was fired; one that was deleted meanwhile must not come back.
if redis.call('HEXISTS', KEYS[1], 'definition') == 0 then return {0} end
redis.call('HSET', KEYS[1], 'meta', ARGV[1])
return {1}
