-- KEYS: timers | ARGV: prefix, holder, lease_ms, worker, direct, requeue_ms, key_ttl, who, run_id, ... | returns: {now, {run id, field, value, ...}, ...}
-- Win the runs of one message, each by the rules of claim.lua; those that could not be won are missing in the answer.
-- One whose job has limits stays queued, and comes again by itself.
-- No start is told of them: their ends, which are near, tell everything.
-- include: common
-- include: claiming
local now = now_ms()
local ask = {
  prefix = ARGV[1], timers = KEYS[1], holder = ARGV[2], lease_ms = ARGV[3], worker = ARGV[4],
  direct = ARGV[5], requeue_ms = ARGV[6], key_ttl = ARGV[7], who = ARGV[8], quiet = true,
}
local reply = {now}
for i = 9, #ARGV do
  if claim_run(ask, ARGV[i], now, '', '', '') == 'claimed' then
    reply[#reply + 1] = {ARGV[i], unpack(redis.call('HGETALL', ARGV[1] .. 'run:' .. ARGV[i]))}
  end
end
return reply
