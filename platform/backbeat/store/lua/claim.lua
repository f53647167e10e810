-- KEYS: run, timers | ARGV: prefix, run_id, holder, lease_ms, worker, stock, direct, requeue_ms, key_ttl, who, canvas, gate, quiet | returns: {verdict, now, field, value, ...}
-- One winner a run. A message whose run is not queued is a duplicate: the verdict is then 'gone' or the state it is in.
-- stock: fields (JSON) that make a run of a message which did not come from us; '' for ours, which never create one.
-- who: '<process id>.<number of this claim>', so that a parent knows whose death it saw, and a claim whose answer got lost
-- can be asked again; canvas: what the message says of a chain; gate: '' at first, else what 'gated' asks for (gate.lua).
-- quiet: '1' when no start is told of a run that is packed, because its end will come soon and tells the same; renew.lua tells it if not.
-- include: common
-- include: claiming
local now = now_ms()
local ask = {
  prefix = ARGV[1], timers = KEYS[2], holder = ARGV[3], lease_ms = ARGV[4], worker = ARGV[5],
  direct = ARGV[7], requeue_ms = ARGV[8], key_ttl = ARGV[9], who = ARGV[10],
}
if ARGV[6] == '' and ARGV[11] == '' and ARGV[12] == '' and redis.call('EXISTS', ARGV[1] .. 'limits') == 0 then
  local packed = redis.call('MGET', KEYS[1])[1]
  if is_plain(packed) then
    packed = told_of(ask, now) .. packed
    local started = ARGV[13] == '1' and '' or tell_packed(ARGV[1], 'started', ARGV[2], packed, now, {})
    local text = untold_of(ask, started) .. packed
    redis.call('SET', KEYS[1], text)
    redis.call('ZADD', KEYS[2], now + ARGV[4], ARGV[2])
    return {'claimed', now, 'p', text}
  end
end
local verdict = claim_run(ask, ARGV[2], now, ARGV[6], ARGV[11], ARGV[12])
local node = verdict == 'claimed' and redis.call('HMGET', KEYS[1], 'd', 'rl') or {}
if node[2] and redis.call('EXISTS', ARGV[1] .. 'dag.q:' .. node[2] .. ':' .. node[1]) == 1 then
  -- This slot is taken; another one may be free for the next node that is ready.
  local engine = dag_engine(ARGV[1], ARGV[7], now, now + ARGV[8], ARGV[9], end_run, queue_run, hand_over)
  local d = engine.open(node[1])
  if d then engine.send_next(d, node[2]) end
end
if verdict == 'claimed' then return {verdict, now, unpack(redis.call('HGETALL', KEYS[1]))} end
if verdict ~= 'gated' then return {verdict, now} end
local limits = redis.call('HGET', ARGV[1] .. 'limits', redis.call('HGET', KEYS[1], 'j'))
return {verdict, now, 'limits', limits, unpack(redis.call('HGETALL', KEYS[1]))}
