-- KEYS: states, values | ARGV: place, item, value, ... | returns: {stored}
-- Store values of a mapped node's items, as long as the node waits for them.
if redis.call('GETRANGE', KEYS[1], ARGV[1], ARGV[1]) ~= 'e' then return {0} end
redis.call('HSET', KEYS[2], unpack(ARGV, 2))
return {1}
