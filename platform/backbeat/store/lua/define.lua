-- KEYS: jobs, templates | ARGV: job, template id, template | returns: {changed}
-- Make a job's policies known: the name points at a template, which is stored under the hash of its content.
redis.call('HSETNX', KEYS[2], ARGV[2], ARGV[3])
local before = redis.call('HGET', KEYS[1], ARGV[1])
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
return {before == ARGV[2] and 0 or 1}
