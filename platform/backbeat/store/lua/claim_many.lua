-- KEYS: timers | ARGV: prefix, holder, lease_ms, worker, direct, requeue_ms, key_ttl, who, run_id, ... | returns: {now, head, packed, {run id, field, value, ...}, ...}
-- Win the runs of one message, each by the rules of claim.lua; those that could not be won are missing in the answer.
-- One whose job has limits stays queued, and comes again by itself.
-- packed: the texts of those that are packed still, in the order in which they were asked for, an empty one for each other, parted by
-- \30. head: what all of those have in front of their texts from now on.
-- No start is told of them: their ends, which are near, tell everything. If not, renew.lua tells it.
-- include: common
-- include: claiming
local now = now_ms()
local prefix = ARGV[1]
local ask = {
  prefix = prefix, timers = KEYS[1], holder = ARGV[2], lease_ms = ARGV[3], worker = ARGV[4],
  direct = ARGV[5], requeue_ms = ARGV[6], key_ttl = ARGV[7], who = ARGV[8], quiet = true,
}
local keys, claimed, timers, texts = {}, {}, {}, {}
local reply = {now, '', ''}
for i = 9, #ARGV do keys[i - 8] = prefix .. 'run:' .. ARGV[i] end
local packed = redis.call('EXISTS', prefix .. 'limits') == 0 and redis.call('MGET', unpack(keys)) or {}
local head, lease_until = untold_of(ask, '') .. told_of(ask, now), string.format('%.0f', now + ask.lease_ms)
for i, key in ipairs(keys) do
  local id, text = ARGV[8 + i], packed[i]
  if is_plain(text) then
    local n = #timers
    timers[n + 1], timers[n + 2] = lease_until, id
    claimed[n + 1], claimed[n + 2] = key, head .. text
    texts[i] = text
  else
    texts[i] = ''
    if claim_run(ask, id, now, '', '', '') == 'claimed' then reply[#reply + 1] = {id, unpack(redis.call('HGETALL', key))} end
  end
end
if #timers > 0 then
  reply[2], reply[3] = head, table.concat(texts, '\30')
  redis.call('MSET', unpack(claimed))
  redis.call('ZADD', KEYS[1], unpack(timers))
end
return reply
