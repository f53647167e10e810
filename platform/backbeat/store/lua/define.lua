-- KEYS: jobs, templates, limits | ARGV: job, template id, template, limits | returns: {changed}
-- Make a job's policies known: the name points at a template, which is stored under the hash of its content.
-- limits: what of it holds at once for the runs that there are already, '' for none; see gate.lua.
redis.call('HSETNX', KEYS[2], ARGV[2], ARGV[3])
if ARGV[4] == '' then redis.call('HDEL', KEYS[3], ARGV[1]) else redis.call('HSET', KEYS[3], ARGV[1], ARGV[4]) end
local before = redis.call('HGET', KEYS[1], ARGV[1])
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
return {before == ARGV[2] and 0 or 1}
