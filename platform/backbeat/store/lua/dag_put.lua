-- KEYS: graph | ARGV: ttl_ms, whole, field, value, ... | returns: {fields}
-- Store a part of a graph that all DAG runs of one version share; `whole` 1 with the last part. It fades unless a run uses it.
local fields = redis.call('HSET', KEYS[1], unpack(ARGV, 3))
if ARGV[2] == '1' then redis.call('HSET', KEYS[1], '#ok', '1') end
if tonumber(redis.call('HGET', KEYS[1], '#users') or 0) == 0 then redis.call('PEXPIRE', KEYS[1], ARGV[1]) end
return {fields}
