-- KEYS: timers | ARGV: prefix, holder, lease_ms, worker, direct, requeue_ms, key_ttl, who, run_id, ... | returns: {now, {run id, field, value, ...}, ...}
-- Win the runs of one message, each by the rules of claim.lua; those that could not be won are missing in the answer.
-- One whose job has limits stays queued, and comes again by itself.
-- No start is told of them: their ends, which are near, tell everything.
-- A run that nobody has touched since it was fired stays packed until its end: of all that claim_run asks it has nothing but its state.
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
  local run = redis.call('HMGET', key, 's', 'p', 'a')
  if run[1] == 'queued' and run[2] and not run[3] and not limited and not string.find(run[2], '\31dl\31', 1, true) then
    redis.call('HSET', key, 's', 'running', 'a', '1', 'h', ask.holder, 'w', ask.worker, 'st', now, 'who', ask.who)
    timers[#timers + 1] = now + ask.lease_ms
    timers[#timers + 1] = id
    reply[#reply + 1] = {id, 'a', '1', 'w', ask.worker, 'who', ask.who, 'p', run[2]}
  elseif claim_run(ask, id, now, '', '', '') == 'claimed' then
    reply[#reply + 1] = {id, unpack(redis.call('HGETALL', key))}
  end
end
if #timers > 0 then redis.call('ZADD', KEYS[1], unpack(timers)) end
return reply
