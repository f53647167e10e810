-- KEYS: run, graph | ARGV: prefix, run_id, direct, requeue_ms, key_ttl, nodes, max_active, deadline_ms, message, facts, kinds, story, counters | returns: {outcome, now, dag}
-- A queued run becomes a DAG run: its nodes stand pending, its roots are queued. Outcome: started, waits (for its turn, with
-- `message` kept for it), unknown (the graph must be stored first), gone, or the state that the run is in.
-- facts: JSON list of fields of the DAG run; kinds: JSON list of field, value; story: JSON for history; counters: dag.c as it
-- stands when no node has begun.
-- include: common
local now = now_ms()
local prefix, id = ARGV[1], ARGV[2]
open_run(KEYS[1])
local state = redis.call('HGET', KEYS[1], 's')
if not state then return {'gone', now, 0} end
if state ~= 'queued' then return {state, now, 0} end
if not redis.call('HGET', KEYS[2], '#ok') then return {'unknown', now, 0} end

local name = redis.call('HGET', KEYS[1], 'j')
redis.call('ZREM', prefix .. 'timers', id)
if redis.call('SCARD', prefix .. 'dag.active:' .. name) >= tonumber(ARGV[7]) then
  redis.call('HSET', KEYS[1], 's', 'pending', 'm', ARGV[9])
  redis.call('RPUSH', prefix .. 'dag.line:' .. name, id)
  return {'waits', now, 0}
end

local nodes = tonumber(ARGV[6])
redis.call('SADD', prefix .. 'dag.active:' .. name, id)
redis.call('HSET', KEYS[1], 's', 'running', 'a', '1', 'st', now, 'dg', nodes)
redis.call('HINCRBY', KEYS[2], '#users', 1)
redis.call('PERSIST', KEYS[2])
-- Keys of a former DAG run of this id are out of date.
for _, letter in ipairs({'k', 'o', 't', 'p', 'l', 'm', 'a', 'r'}) do redis.call('DEL', prefix .. 'dag.' .. letter .. ':' .. id) end
redis.call('DEL', prefix .. 'dag:' .. id)
-- What a rerun needs to open the run again, when it is long gone from the ledger.
for _, field in ipairs({'q', 'tid', 'x', 'c'}) do redis.call('HSET', prefix .. 'dag:' .. id, field, redis.call('HGET', KEYS[1], field) or '') end
redis.call('HSET', prefix .. 'dag:' .. id, 'j', name, 'n', nodes, 'left', nodes, 'bad', 0, 'st', now, unpack(cjson.decode(ARGV[10])))
if ARGV[8] ~= '' then redis.call('HSET', prefix .. 'dag:' .. id, 'dl', now + ARGV[8]) end
redis.call('SET', prefix .. 'dag.s:' .. id, string.rep('.', nodes))
redis.call('SET', prefix .. 'dag.c:' .. id, ARGV[13])
hset_all(prefix .. 'dag.k:' .. id, cjson.decode(ARGV[11]))
redis.call('ZADD', prefix .. 'dags', now + 1000, id)
tell(prefix, 'started', id, now, {})
redis.call('XADD', prefix .. 'events', '*', 'k', 'dag_started', 'r', id, 't', now, '.j', name, 'outcome', ARGV[12])

local engine = dag_engine(prefix, ARGV[3], now, now + ARGV[4], ARGV[5], end_run, queue_run, hand_over)
local d = engine.open(id)
for _, place in ipairs(cjson.decode(redis.call('HGET', KEYS[2], '#roots'))) do engine.later(d, 'r:' .. place) end
return {'started', now, engine.drain(d)}
