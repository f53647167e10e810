-- DAG runs: what one node's end means to the others. A part of common.lua, built only when a run is a node of a DAG run.
-- Each call does a bounded number of steps; what is left waits in a list for the next call, so a huge graph never holds Redis.
-- Keys of the DAG run D, behind the slot's prefix:
--   dag:D      hash    v version, n nodes, left, bad, why, e (D as JSON text), nominal, j (DAG), paused, cancel
--   dag.s:D    string  a byte a node: . pending, o left out by a choice, e ready but its items are unknown, q queued or running,
--                      h succeeded but its choice is unknown; ended: s f t c k u x z (see CODES)
--   dag.c:D    string  four u16 a node: (unused), parents that ended badly, skipped, and not yet (from EARLY under the any_ rules)
--   dag.k:D    hash    kind -> j job, q queue, t template id, m message; b runs that may share one, g such a message;
--                      on: a worker may go on with one without a message
--                            dag.a:D  hash  place -> attempts before a rerun
--   dag.o:D    hash    place -> output                                dag.t:D  list  steps left over; dag.p:D those of a pause
--   dag.l:D    set     what a process must do: find out 'e:<place>' how many items, 'c:<place>' which case; send 's:<segment>'
--   dag.m:D    hash    '<place>n' items, '<place>i' next, '<place>r' running, '<place>l' left, '<place>b' bad
--   dag.i:<place>:D  string  a byte an item                           dag.v:<place>:D, dag.o:<place>:D  hash  item -> value, output
--   dag.w:<place>:D  list  items that are to run again
--   dag.q:<queue>:D  list  runs that are ready and have no message yet, as '<kind>:<label>' (decision 043). Whoever ends a node goes
--                    on with one of them; as long as there are any, a few others of the queue have messages: each one that is
--                    claimed sends the next, so that every free slot gets one. dag.r:D  set  the queues that had any
-- graph:V is shared by all runs of one version: place -> record, '#roots', '#users', '#ok'. A record holds i id, k kind, n parents,
-- r rule, c children, x arguments, and f arguments have references, o output is needed, h chooses, m mapped (p at once, y rest of x),
-- g the segment that goes out as Celery canvas with it: '#seg:<g>' says which. Canvas only carries messages. A run that it is to
-- bring has none of ours, unless nobody claims it within CARRIED_MS.

-- Whoever ends a node and would go on with another one: {list, queue, quick, claim}, and then `taken`, its run, with its `fields`. See
-- finish.lua.
local taker

-- A hash from a flat list, in pieces that unpack can take.
local function hset_all(key, list)
  for from = 1, #list, 1000 do redis.call('HSET', key, unpack(list, from, math.min(from + 999, #list))) end
end

local function dag_engine(prefix, direct, now, requeue_at, key_ttl, end_run, queue_run, hand_over)
  local BUDGET, AT_ONCE, EARLY, CARRIED_MS = 2000, 100, 32768, 5000
  -- Ready runs that have messages: few, since a message costs more than the run. On its way to another broker each takes longer.
  local SENT = direct == '1' and 4 or 16
  local LETTERS = 's c k o t p l m a r'
  local CODES = {succeeded = 's', failed = 'f', timed_out = 't', cancelled = 'c', skipped = 'k', upstream_failed = 'u', expired = 'x', quarantined = 'z'}
  local engine, settle, launch, decide, drain = {}, nil, nil, nil, nil

  local function open(id)
    local h = redis.call('HMGET', prefix .. 'dag:' .. id, 'v', 'e', 'nominal', 'paused', 'cancel', 'j', 'n', 're', 'c')
    if not h[1] then return nil end
    local d = {id = id, json = h[2], nominal = h[3], paused = h[4], cancel = h[5], name = h[6], n = tonumber(h[7]), rerun = h[8], born = h[9] or now}
    d.graph = prefix .. 'graph:' .. h[1]
    d.key, d.budget, d.queue, d.first, d.settled, d.bad = prefix .. 'dag:' .. id, BUDGET, {}, 1, 0, 0
    d.records, d.kinds, d.gathered, d.ready = {}, {}, {}, {}
    -- Their names are put together when they are wanted: most calls want four.
    return setmetatable(d, {__index = function(_, letter)
      if not string.find(LETTERS, letter, 1, true) then return nil end
      local key = prefix .. 'dag.' .. letter .. ':' .. id
      rawset(d, letter, key)
      return key
    end})
  end

  local function get(d, place) return redis.call('GETRANGE', d.s, place, place) end
  local function set(d, place, code) redis.call('SETRANGE', d.s, place, code) end
  local function ready(d, queue) return prefix .. 'dag.q:' .. queue .. ':' .. d.id end
  local function later(d, step) d.queue[#d.queue + 1] = step end

  local function record(d, place)
    local r = d.records[place]
    if not r then
      r = cjson.decode(redis.call('HGET', d.graph, place))
      d.records[place] = r
    end
    return r
  end

  local function kind(d, number)
    local k = d.kinds[number]
    if not k then
      k = cjson.decode(redis.call('HGET', d.k, number))
      d.kinds[number] = k
    end
    return k
  end

  -- The message of one run, or of several that share one (core/message.py, group_mould): `~run~` and `~runs~` stand for them.
  local function send(k, ids)
    local several = #ids > 1
    local names = {run = several and ids[1] .. '+' .. (#ids - 1) or ids[1], runs = table.concat(ids, '\\n')}
    hand_over(prefix, direct, k.q, (string.gsub(several and k.g or k.m, '~(runs?)~', names)))
  end

  -- Runs of a kind whose job lets so many share a message (k.b) gather until the script ends, or until they are so many; so do
  -- those with which a worker may go on.
  local function gather(d, number, k, label)
    if k.on then
      local entries = d.ready[k.q] or {}
      d.ready[k.q] = entries
      entries[#entries + 1] = number .. ':' .. label
      return
    end
    local ids = d.gathered[number] or {}
    d.gathered[number] = ids
    ids[#ids + 1] = d.json .. '/' .. label
    if #ids >= (k.b or 1) then
      d.gathered[number] = nil
      send(k, ids)
    end
  end

  -- A run for a node, or for one item of a mapped node. One that exists is left as it is. `carried`: canvas brings its message.
  local function create(d, place, r, item, carried)
    d.budget = d.budget - 4
    local label = item and r.i .. '[' .. item .. ']' or r.i
    local run_id = d.id .. '/' .. label
    local key = prefix .. 'run:' .. run_id
    local state = redis.call('HGET', key, 's')
    if state and state ~= 'quarantined' then return end
    local before = state and redis.call('HGET', key, 'a') or d.rerun and redis.call('HGET', d.a, item and place .. ':' .. item or place) or '0'
    if state then redis.call('DEL', key) end
    local k, arguments = kind(d, r.k), r.x or '[[],\t{}]'
    if item then arguments = '[[' .. redis.call('HGET', prefix .. 'dag.v:' .. place .. ':' .. d.id, item) .. r.y end
    local fields = {'s', 'queued', 'a', before, 'c', now, 'j', k.j, 'n', d.nominal, 'q', k.q, 'tid', k.t, 'x', arguments, 'd', d.id, 'nd', label, 'di', place, 'bn', d.born}
    for name, value in pairs({it = item, rf = r.f, ko = r.o, ra = before ~= '0' and before or nil, rl = k.on and k.q or nil}) do
      fields[#fields + 1] = name
      fields[#fields + 1] = value
    end
    redis.call('HSET', key, unpack(fields))
    redis.call('ZADD', prefix .. 'timers', carried and math.min(requeue_at, now + CARRIED_MS) or requeue_at, run_id)
    if carried then return end
    gather(d, r.k, k, label)
  end

  -- What most ends of nodes have no need of is built only when it is wanted: that takes longer than many a command.
  local built
  local function seldom()
    if built then return built end
    built = {}
-- include: dag_seldom
    return built
  end

  -- A node has ended: count it, and let its children know in a step of their own.
  settle = function(d, place, code)
    set(d, place, code)
    d.settled, d.budget = d.settled + 1, d.budget - 2
    if code ~= 's' and code ~= 'k' then
      d.bad = d.bad + 1
      if code ~= 'u' then redis.call('HSETNX', d.key, 'why', record(d, place).i .. ' ' .. seldom().states[code]) end
    end
    later(d, 'p:' .. place .. ':0')
  end

  -- Whether the message of a node's run comes by canvas: with that of the parent whose end lets it go, unless a part of the
  -- chord went without; or because its segment is to be sent now. What was run again goes by the ledger alone.
  local function by_canvas(d, place, r)
    if d.carrier and d.carrier == d.via then return redis.call('HEXISTS', d.key, 'torn:' .. place) == 0 end
    if not r.g or d.rerun then return false end
    redis.call('SADD', d.l, 's:' .. r.g)
    return true
  end

  -- The parents allow it: run, unless the DAG run is being cancelled or held.
  launch = function(d, place)
    if d.cancel then return seldom().settle_unrun(d, place, 'c') end
    if d.paused then return redis.call('RPUSH', d.p, 'r:' .. place) end
    local r = record(d, place)
    if r.m then
      set(d, place, 'e')
      redis.call('SADD', d.l, 'e:' .. place)
    else
      set(d, place, 'q')
      create(d, place, r, nil, by_canvas(d, place, r))
    end
  end

  local function by_rule(rule, good, bad, skipped)
    if rule == 'all_done' then return 'run' end
    if rule == 'any_failed' then return bad > 0 and 'run' or 'k' end
    if rule == 'any_success' then return good > 0 and 'run' or bad > 0 and 'u' or 'k' end
    if bad > 0 then return 'u' end
    return rule == 'all_success' and skipped > 0 and 'k' or 'run'
  end

  function decide(d, place)
    local code = get(d, place)
    if code ~= '.' and code ~= 'o' then return end
    local at, r = 4 * place, record(d, place)
    local bad, skipped, open = unpack(redis.call('BITFIELD', d.c, 'GET', 'u16', '#' .. at + 1, 'GET', 'u16', '#' .. at + 2, 'GET', 'u16', '#' .. at + 3))
    local good = r.n - bad - skipped - open % EARLY
    local early = (r.r == 'any_failed' and bad > 0) or (r.r == 'any_success' and good > 0)
    if not early and good + bad + skipped < r.n then return end
    local verdict = code == 'o' and 'k' or by_rule(r.r, good, bad, skipped)
    if verdict == 'run' then launch(d, place) else seldom().settle_unrun(d, place, verdict) end
  end

  -- Each child counts one parent less to wait for, and on its side an end that was no success: many of them in one command. Only
  -- a child that waits for no other, or whose rule may be met early, is looked at.
  local function propagate(d, place, from)
    local children, code = record(d, place).c, get(d, place)
    local side, each = code == 'k' and 2 or 1, code == 's' and 1 or 2
    for first = from + 1, #children, AT_ONCE do
      if d.budget <= 0 then return later(d, 'p:' .. place .. ':' .. first - 1) end
      local last, counts = math.min(first + AT_ONCE - 1, #children), {}
      for index = first, last do
        local at, n = 4 * children[index], #counts
        if each == 2 then
          counts[n + 1], counts[n + 2], counts[n + 3], counts[n + 4] = 'INCRBY', 'u16', '#' .. at + side, 1
          n = n + 4
        end
        counts[n + 1], counts[n + 2], counts[n + 3], counts[n + 4] = 'INCRBY', 'u16', '#' .. at + 3, -1
      end
      local sums = redis.call('BITFIELD', d.c, unpack(counts))
      d.budget, d.via = d.budget - (last - first + 1), place
      for index = first, last do
        local open = sums[each * (index - first + 1)]
        if open == 0 or open >= EARLY then decide(d, children[index]) end
      end
      d.via = nil
    end
  end

  local function step(d, text)
    local letter, place, rest = string.match(text, '^(%a):(%d+):?(%d*)$')
    local doing = letter == 'p' and propagate or seldom().steps[letter]
    doing(d, tonumber(place), tonumber(rest))
  end

  -- The next run of a queue that is ready and has no message: the number of its kind, its label, its fields.
  local function next_ready(d, queue)
    for _ = 1, AT_ONCE do
      local entry = redis.call('LPOP', ready(d, queue))
      if not entry then return end
      local number, label = string.match(entry, '^(%d+):(.*)$')
      local run = facts_of(prefix .. 'run:' .. d.id .. '/' .. label)
      if run.s == 'queued' then return number, label, run end
    end
  end

  -- Send the message of one more of them; without a queue of one in each.
  function engine.send_next(d, queue)
    for _, name in ipairs(queue and {queue} or redis.call('SMEMBERS', d.r)) do
      local number, label = next_ready(d, name)
      if number then send(kind(d, number), {d.json .. '/' .. label}) end
    end
  end

  -- What is ready in a queue: the first few by message, the rest waits. Where some wait already, their messages are on their way.
  local function hand_out(d, queue, entries)
    local key = ready(d, queue)
    local first = redis.call('EXISTS', key) == 1 and 0 or SENT
    local spare = taker and not taker.busy and taker.list == queue and 1 or 0
    for index, entry in ipairs(entries) do
      if index > spare and index <= spare + first then
        local number, label = string.match(entry, '^(%d+):(.*)$')
        send(kind(d, number), {d.json .. '/' .. label})
      else
        redis.call('RPUSH', key, entry)
      end
    end
    if #entries > spare + first then redis.call('SADD', d.r, queue) end
  end

  -- Whoever has ended a node goes on with the next one that is ready, if that one is quick and of the same queue.
  local function take(d)
    if not taker or taker.busy then return end
    taker.busy = true
    local number, label, run = next_ready(d, taker.list)
    if not number then return end
    local run_id = d.id .. '/' .. label
    local wanted = run.q == taker.queue and string.find(taker.quick, '\n' .. run.j .. '\n', 1, true)
    local verdict, fields = 'gated', nil
    if wanted then verdict, fields = taker.claim(run_id, run) end
    if verdict == 'claimed' then
      taker.taken, taker.fields = run_id, fields
    elseif verdict == 'gated' then
      -- It needs more of a worker than is at hand here.
      send(kind(d, number), {d.json .. '/' .. label})
    end
  end

  local function drained(d)
    local all_done = false
    while d.budget > 0 do
      local text = d.queue[d.first] or redis.call('LPOP', d.t)
      all_done = not text
      if all_done then break end
      if d.queue[d.first] then d.first = d.first + 1 end
      step(d, text)
    end
    for number, ids in pairs(d.gathered) do send(kind(d, number), ids) end
    d.gathered = {}
    for queue, entries in pairs(d.ready) do hand_out(d, queue, entries) end
    d.ready = {}
    for index = d.first, #d.queue do redis.call('RPUSH', d.t, d.queue[index]) end
    if d.bad > 0 then redis.call('HINCRBY', d.key, 'bad', d.bad) end
    local left = (d.settled > 0 or d.rewritten) and redis.call('HINCRBY', d.key, 'left', -d.settled)
    if left and left <= 0 then
      seldom().finish(d)
      return 0
    end
    local steps = not all_done and redis.call('LLEN', d.t) > 0
    if not steps and redis.call('SCARD', d.l) == 0 then return 0 end
    -- Whoever ended the node sees to it; a keeper looks at once where much is left, else a moment later.
    redis.call('ZADD', prefix .. 'dags', 'XX', steps and now or now + 1000, d.id)
    return 1
  end

  -- Do what there is to do, within the budget; 1 when a process must take it from here.
  function drain(d)
    local more = drained(d)
    take(d)
    return more
  end

  local function single_ended(d, place, code, output, carrying)
    -- The state first: should anything below fail, a sweep can make the rest of it.
    set(d, place, code)
    if carrying then
      d.carrier = place
    elseif record(d, place).g then
      redis.call('HSET', d.key, 'torn:' .. record(d, place).c[1], '1')
    end
    if output ~= '' then redis.call('HSET', d.o, place, output) end
    if code == 's' and record(d, place).h then
      set(d, place, 'h')
      redis.call('SADD', d.l, 'c:' .. place)
    else
      settle(d, place, code)
    end
  end

  -- A node's run has ended. 1 when a process must take it from here. `carrying`: its message brings that of its child.
  function engine.ended(id, place, item, state, output, attempts, carrying)
    local d = open(id)
    if not d then return 0 end
    place, item = tonumber(place), tonumber(item)
    local code, before = CODES[state] or 'f', get(d, place)
    if attempts ~= '1' then redis.call('HSET', d.a, item and place .. ':' .. item or place, attempts or '0') end
    if before == 'q' and item then
      seldom().item_ended(d, place, item, code, output)
    elseif before == 'q' then
      single_ended(d, place, code, output, carrying)
    elseif before == 'z' and code == 's' then
      seldom().late_success(d, place, output)
    end
    return drain(d)
  end

  engine.open, engine.get, engine.set, engine.drain, engine.later = open, get, set, drain, later
  engine.settle, engine.record, engine.seldom = settle, record, seldom
  return engine
end
