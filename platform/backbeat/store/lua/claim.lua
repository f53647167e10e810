-- KEYS: run, timers | ARGV: prefix, run_id, holder, lease_ms, worker, stock, direct, requeue_ms, key_ttl, who, canvas | returns: {verdict, now, field, value, ...}
-- One winner a run. A message whose run is not queued is a duplicate: the verdict is then 'gone' or the state it is in.
-- stock: fields (JSON) that make a run of a message which did not come from us; '' for ours, which never create one.
-- who: '<process id>.<number of this claim>', so that a parent knows whose death it saw, and a claim whose answer got lost
-- can be asked again; canvas: what the message says of a chain.
-- include: common
-- include: claiming
local now = now_ms()
local ask = {
  prefix = ARGV[1], timers = KEYS[2], holder = ARGV[3], lease_ms = ARGV[4], worker = ARGV[5],
  direct = ARGV[7], requeue_ms = ARGV[8], key_ttl = ARGV[9], who = ARGV[10],
}
local verdict = claim_run(ask, ARGV[2], now, ARGV[6], ARGV[11])
if verdict ~= 'claimed' then return {verdict, now} end
return {verdict, now, unpack(redis.call('HGETALL', KEYS[1]))}
