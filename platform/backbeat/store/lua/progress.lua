-- KEYS: run | ARGV: holder, attempt, progress | returns: {won}
-- How far a run is, as its own attempt says: '<fraction> <text>'.
-- include: clock
local run = held_run(KEYS[1], 's', 'h', 'a')
if run[1] ~= 'running' or run[2] ~= ARGV[1] or run[3] ~= ARGV[2] then return {0} end
redis.call('HSET', KEYS[1], 'pg', ARGV[3])
return {1}
