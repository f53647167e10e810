-- KEYS: run, timers | ARGV: prefix, run_id, holder, lease_ms, worker, stock, direct, requeue_ms, key_ttl, who, canvas | returns: {verdict, now, field, value, ...}
-- One winner a run. A message whose run is not queued is a duplicate: the verdict is then 'gone' or the state it is in.
-- stock: fields (JSON) that make a run of a message which did not come from us; '' for ours, which never create one.
-- who: '<process id>.<number of this claim>', so that a parent knows whose death it saw, and a claim whose answer got lost
-- can be asked again; canvas: what the message says of a chain.
-- include: common
local now = now_ms()
local before = redis.call('HMGET', KEYS[1], 's', 'h', 'who')
local state = before[1]

local function claimed()
  local reply = redis.call('HGETALL', KEYS[1])
  table.insert(reply, 1, now)
  table.insert(reply, 1, 'claimed')
  return reply
end

if not state then
  -- A copy of a foreign message may come after its run has ended and left.
  if ARGV[6] == '' or redis.call('EXISTS', ARGV[1] .. 'done:' .. ARGV[2]) == 1 then return {'gone', now} end
  redis.call('HSET', KEYS[1], 'a', '0', 'c', now, unpack(cjson.decode(ARGV[6])))
elseif state == 'running' and ARGV[10] ~= '' and before[2] == ARGV[3] and before[3] == ARGV[10] then
  return claimed()
elseif state ~= 'queued' then
  return {state, now}
end

open_run(KEYS[1])
local deadline = redis.call('HGET', KEYS[1], 'dl')
if deadline and now > tonumber(deadline) then
  end_run(ARGV[1], ARGV[7], ARGV[2], 'expired', now, now + ARGV[8], ARGV[9], {'reason', 'expired'})
  return {'expired', now}
end

redis.call('HINCRBY', KEYS[1], 'a', 1)
redis.call('HSET', KEYS[1], 's', 'running', 'h', ARGV[3], 'w', ARGV[5], 'st', now, 'who', ARGV[10])
if ARGV[11] ~= '' then redis.call('HSET', KEYS[1], 'cv', ARGV[11]) end
redis.call('ZADD', KEYS[2], now + ARGV[4], ARGV[2])
tell(ARGV[1], 'started', ARGV[2], now, {})
return claimed()
