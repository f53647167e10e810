-- KEYS: dag | ARGV: prefix, run_id, direct, requeue_ms, key_ttl, answers | returns: {more, now, question, ...}
-- Take a DAG run on: first the answers to what it asked (JSON), then the steps that were left over.
-- answers: {'e', place, items} how many items a mapped node has (their values are stored); {'x', place, error} why there are
-- none; {'c', place, {places}} the children that a choice leaves out. An answer that came before changes nothing.
-- more: 1 when there are steps left. Questions are those of dag.l, where 's:' is followed by the segment itself: JSON
-- [chain or chord, [[node, kind], ...]].
-- include: common
local now = now_ms()
local engine = dag_engine(ARGV[1], ARGV[3], now, now + ARGV[4], ARGV[5], end_run, queue_run, hand_over)
local d = engine.open(ARGV[2])
if not d then return {0, now} end

local function answer(letter, place, fact)
  redis.call('SREM', d.l, (letter == 'c' and 'c:' or 'e:') .. place)
  local code = engine.get(d, place)
  if letter == 'c' and code == 'h' then
    for _, child in ipairs(fact) do
      if engine.get(d, child) == '.' then engine.set(d, child, 'o') end
    end
    engine.settle(d, place, 's')
  elseif letter == 'x' and code == 'e' then
    engine.seldom().tell_node(d, place, 'f', {'outcome', cjson.encode({error = {type = 'GraphError', message = fact}})})
    engine.settle(d, place, 'f')
  elseif letter == 'e' and code == 'e' then
    redis.call('DEL', ARGV[1] .. 'dag.o:' .. place .. ':' .. d.id)
    redis.call('HSET', d.m, place .. 'n', fact, place .. 'i', 0, place .. 'r', 0, place .. 'l', fact, place .. 'b', 0)
    if fact == 0 then return engine.seldom().end_map(d, place, 0, 0) end
    engine.set(d, place, 'q')
    redis.call('SET', ARGV[1] .. 'dag.i:' .. place .. ':' .. d.id, string.rep('.', fact))
    engine.later(d, 'm:' .. place)
  end
end

for _, given in ipairs(cjson.decode(ARGV[6])) do answer(given[1], given[2], given[3]) end
engine.drain(d)
local left = redis.call('LLEN', d.t)
-- Should the messages have got lost that bring the ready ones into workers, here is the next of them.
if left == 0 then engine.send_next(d) end
local reply = {left > 0 and 1 or 0, now}
for _, question in ipairs(redis.call('SRANDMEMBER', d.l, 100)) do
  local segment = string.match(question, '^s:(%d+)$')
  if not segment then
    reply[#reply + 1] = question
  elseif left == 0 then
    -- Told once, and only when all of its nodes are there: should whoever asked die now, the runs' own timers send them.
    redis.call('SREM', d.l, question)
    reply[#reply + 1] = 's:' .. redis.call('HGET', d.graph, '#seg:' .. segment)
  end
end
return reply
