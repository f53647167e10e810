-- KEYS: timers | ARGV: prefix, holder, direct, requeue_ms, key_ttl, run_id, attempt, state, delay_ms, outcome, ... | returns: {now, run id, ...}
-- End many attempts of one holder, each by the rules of finish.lua; after the first five arguments come five for each of them.
-- Returns those that were still the holder's to end. Of nodes of DAGs only those come this way
-- that were cancelled; a keeper sees to what that means for their DAG runs.
-- include: common
-- include: finishing
local now = now_ms()
local ask = {prefix = ARGV[1], timers = KEYS[1], holder = ARGV[2], direct = ARGV[3], requeue_ms = ARGV[4], key_ttl = ARGV[5]}
local reply = {now}
for i = 6, #ARGV, 5 do
  if finish_run(ask, ARGV[i], now, ARGV[i + 1], ARGV[i + 2], ARGV[i + 3], ARGV[i + 4])[1] == 1 then
    reply[#reply + 1] = ARGV[i]
  end
end
return reply
