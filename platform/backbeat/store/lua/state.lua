-- KEYS: run, done | ARGV: none | returns: state or ''
-- The state of an unfinished run, or how it ended where that is still known.
if redis.call('TYPE', KEYS[1]).ok == 'string' then return redis.call('GETRANGE', KEYS[1], 0, 1) == 's\31' and 'running' or 'queued' end
return redis.call('HGET', KEYS[1], 's') or redis.call('GET', KEYS[2]) or ''
