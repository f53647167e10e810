-- KEYS: run, timers | ARGV: prefix, run_id, holder, lease_ms, worker, stock, direct, requeue_ms, key_ttl | returns: {verdict, now, field, value, ...}
-- One winner a run. A message whose run is not queued is a duplicate: the verdict is then 'gone' or the state it is in.
-- stock: fields (JSON) that make a run of a message which did not come from us; '' for ours, which never create one.
-- include: common
local now = now_ms()
local state = redis.call('HGET', KEYS[1], 's')
if not state then
  if ARGV[6] == '' then return {'gone', now} end
  redis.call('HSET', KEYS[1], 'a', '0', 'c', now, unpack(cjson.decode(ARGV[6])))
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
redis.call('HSET', KEYS[1], 's', 'running', 'h', ARGV[3], 'w', ARGV[5], 'st', now)
redis.call('ZADD', KEYS[2], now + ARGV[4], ARGV[2])
tell(ARGV[1], 'started', ARGV[2], now, {})
local reply = redis.call('HGETALL', KEYS[1])
table.insert(reply, 1, now)
table.insert(reply, 1, 'claimed')
return reply
