-- KEYS: dag | ARGV: prefix, run_id, direct, requeue_ms, key_ttl, cause, from | returns: {next, now}
-- Cancel a DAG run, a thousand nodes a call: what has not started is cancelled at once, what runs is asked to stop.
-- next: where to go on, -1 when every node was looked at; the steps that are then left are the keeper's.
-- include: common
local now = now_ms()
local prefix = ARGV[1]
local engine = dag_engine(prefix, ARGV[3], now, now + ARGV[4], ARGV[5], end_run, queue_run, hand_over)
redis.call('HSETNX', KEYS[1], 'cancel', ARGV[6])
local d = engine.open(ARGV[2])
if not d or not d.name or not redis.call('ZSCORE', prefix .. 'dags', d.id) then
  if d and not d.name then redis.call('DEL', KEYS[1]) end
  return {-1, now}
end
if ARGV[7] == '0' then redis.call('DEL', d.p) end
if ARGV[7] == '0' then engine.seldom().forget_ready(d) end
redis.call('HDEL', KEYS[1], 'paused')
d.paused = false

-- The items of a mapped node that were never queued end here; those that were are stopped one by one.
local function cancel_items(place)
  local m = redis.call('HMGET', d.m, place .. 'n', place .. 'i')
  local count, first = tonumber(m[1]), tonumber(m[2])
  local never = count - first
  redis.call('HSET', d.m, place .. 'i', count)
  local bad, left = redis.call('HINCRBY', d.m, place .. 'b', never), redis.call('HINCRBY', d.m, place .. 'l', -never)
  if left == 0 then return engine.seldom().end_map(d, place, count, bad) end
  local states = redis.call('GETRANGE', prefix .. 'dag.i:' .. place .. ':' .. d.id, 0, first - 1)
  for item = 0, first - 1 do
    if string.sub(states, item + 1, item + 1) == '.' then engine.later(d, 'x:' .. place .. ':' .. item) end
  end
end

local from = tonumber(ARGV[7])
local past = math.min(from + 1000, d.n)
local codes = redis.call('GETRANGE', d.s, from, past - 1)
for place = from, past - 1 do
  local code = string.sub(codes, place - from + 1, place - from + 1)
  if code == '.' or code == 'o' or code == 'e' then
    engine.seldom().settle_unrun(d, place, 'c')
  elseif code == 'h' then
    engine.settle(d, place, 's')
  elseif code == 'q' then
    if engine.record(d, place).m then cancel_items(place) else engine.later(d, 'x:' .. place) end
  end
end
redis.call('DEL', d.l)
engine.drain(d)
return {past < d.n and past or -1, now}
