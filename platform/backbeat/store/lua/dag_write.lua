-- KEYS: dag | ARGV: prefix, run_id, direct, requeue_ms, key_ttl, seen, states, counters, left, bad, steps, questions, attempts, maps, run | returns: {done, now, more}
-- Put a DAG run into a state that was worked out from the one that was `seen`: a repair, or a rerun of some nodes.
-- Refused when a node moved meanwhile. steps, questions: JSON lists; attempts, maps: JSON lists of field, value;
-- run: JSON list of fields that open an ended DAG run again, '' for one that runs.
-- include: common
local now = now_ms()
local prefix, id = ARGV[1], ARGV[2]
local engine = dag_engine(prefix, ARGV[3], now, now + ARGV[4], ARGV[5], end_run, queue_run, hand_over)
local d = engine.open(id)
if not d or not d.name or redis.call('GET', d.s) ~= ARGV[6] then return {0, now, 0} end

local function open_again(fields)
  if redis.call('EXISTS', prefix .. 'run:' .. id) == 1 then return false end
  redis.call('HSET', prefix .. 'run:' .. id, unpack(fields))
  redis.call('HDEL', KEYS[1], 'cancel', 'why', 'end', 'reason', 'dl')
  d.cancel = false
  engine.seldom().forget_ready(d)
  redis.call('SADD', prefix .. 'dag.active:' .. d.name, id)
  redis.call('HINCRBY', d.graph, '#users', 1)
  for _, key in ipairs({KEYS[1], d.graph, d.s, d.c, d.k, d.o, d.m, d.a}) do redis.call('PERSIST', key) end
  for _, field in ipairs(redis.call('HKEYS', d.m)) do
    local place = string.match(field, '^(%d+)n$')
    if place then
      for _, letter in ipairs({'i', 'v', 'o'}) do redis.call('PERSIST', prefix .. 'dag.' .. letter .. ':' .. place .. ':' .. id) end
    end
  end
  redis.call('ZADD', prefix .. 'dags', now + 1000, id)
  tell(prefix, 'started', id, now, {})
  redis.call('XADD', prefix .. 'events', '*', 'k', 'dag_started', 'r', id, 't', now, '.j', d.name)
  return true
end

if ARGV[15] ~= '' then open_again(cjson.decode(ARGV[15])) end
redis.call('SET', d.s, ARGV[7])
redis.call('SET', d.c, ARGV[8])
redis.call('DEL', d.t, d.l)
redis.call('HSET', KEYS[1], 'left', ARGV[9], 'bad', ARGV[10], 're', '1')
d.rerun = '1'
hset_all(d.a, cjson.decode(ARGV[13]))
hset_all(d.m, cjson.decode(ARGV[14]))
for _, question in ipairs(cjson.decode(ARGV[12])) do redis.call('SADD', d.l, question) end
for _, step in ipairs(cjson.decode(ARGV[11])) do redis.call('RPUSH', d.t, step) end
d.rewritten = true
return {1, now, engine.drain(d)}
