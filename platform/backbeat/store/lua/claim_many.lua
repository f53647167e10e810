-- KEYS: timers | ARGV: prefix, holder, lease_ms, worker, direct, requeue_ms, key_ttl, who, run_id, ... | returns: {now, {run id, field, value, ...}, ...}
-- Win the runs of one message, each by the rules of claim.lua; those that could not be won are missing in the answer.
-- One whose job has limits stays queued, and comes again by itself.
-- No start is told of them: their ends, which are near, tell everything.
-- include: common
-- include: claiming
local now = now_ms()
local prefix = ARGV[1]
local ask = {
  prefix = prefix, timers = KEYS[1], holder = ARGV[2], lease_ms = ARGV[3], worker = ARGV[4],
  direct = ARGV[5], requeue_ms = ARGV[6], key_ttl = ARGV[7], who = ARGV[8], quiet = true,
}
local limited = redis.call('EXISTS', prefix .. 'limits') == 1
local reply, timers = {now}, {}
for i = 9, #ARGV do
  local id, key = ARGV[i], prefix .. 'run:' .. ARGV[i]
  local packed = not limited and claim_packed(ask, id, now)
  if packed then
    timers[#timers + 1] = now + ask.lease_ms
    timers[#timers + 1] = id
    reply[#reply + 1] = {id, 'a', '1', 'w', ask.worker, 'who', ask.who, 'p', packed}
  elseif claim_run(ask, id, now, '', '', '') == 'claimed' then
    reply[#reply + 1] = {id, unpack(redis.call('HGETALL', key))}
  end
end
if #timers > 0 then redis.call('ZADD', KEYS[1], unpack(timers)) end
return reply
