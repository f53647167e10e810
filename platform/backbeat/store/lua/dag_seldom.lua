-- DAG runs: what few ends of nodes have to do with. A part of dag.lua, built by its `seldom`.
  local STATES = {}
  for state, code in pairs(CODES) do STATES[code] = state end
  built.states = STATES

  -- History of a node that has no run of its own: it never ran, or it is the whole of a mapped one.
  local function tell_node(d, place, code, extra)
    local r = record(d, place)
    local fields = {'k', 'finished', 'r', d.id .. '/' .. r.i, 't', now, '.j', kind(d, r.k).j, '.d', d.id, '.nd', r.i, '.bn', d.born, 'state', STATES[code]}
    -- After a rerun this is one more attempt, so that history takes it for the newer one.
    local before = d.rerun and tonumber(redis.call('HGET', d.a, place) or 0) or 0
    if before > 0 then
      fields[#fields + 1] = '.a'
      fields[#fields + 1] = before + 1
      redis.call('HSET', d.a, place, before + 1)
    end
    for i = 1, #extra do fields[#fields + 1] = extra[i] end
    redis.call('XADD', prefix .. 'events', '*', unpack(fields))
  end

  local function settle_unrun(d, place, code)
    tell_node(d, place, code, {'reason', code == 'c' and d.cancel or 'upstream'})
    settle(d, place, code)
  end

  local function end_map(d, place, items, bad)
    local code = bad == 0 and 's' or d.cancel and 'c' or 'f'
    local reason = bad > 0 and bad .. ' of ' .. items .. ' items ended badly' or items .. ' items'
    tell_node(d, place, code, {'reason', reason})
    settle(d, place, code)
  end

  -- As many items of a mapped node as may run at once: first those that are to run again, then the next ones.
  local function spawn(d, place)
    local r = record(d, place)
    local m = redis.call('HMGET', d.m, place .. 'n', place .. 'i', place .. 'r')
    local count, next_item, running = tonumber(m[1]), tonumber(m[2]), tonumber(m[3])
    local again = prefix .. 'dag.w:' .. place .. ':' .. d.id
    local waiting = redis.call('LLEN', again)
    while (waiting > 0 or next_item < count) and (not r.p or running < r.p) do
      if d.paused then
        redis.call('RPUSH', d.p, 'm:' .. place)
        break
      elseif d.budget <= 0 then
        later(d, 'm:' .. place)
        break
      end
      if waiting > 0 then
        waiting = waiting - 1
        create(d, place, r, tonumber(redis.call('LPOP', again)))
      else
        create(d, place, r, next_item)
        next_item = next_item + 1
      end
      running = running + 1
    end
    redis.call('HSET', d.m, place .. 'i', next_item, place .. 'r', running)
  end

  local function stop(d, label)
    d.budget = d.budget - 4
    local run_id = d.id .. '/' .. label
    local state = redis.call('HGET', prefix .. 'run:' .. run_id, 's')
    if state == 'running' then
      redis.call('HSET', prefix .. 'run:' .. run_id, 'cancel', d.cancel or 'cancelled')
    elseif state then
      end_run(prefix, direct, run_id, 'cancelled', now, requeue_at, key_ttl, {'reason', d.cancel or 'cancelled'})
    end
  end

  built.steps = {
    r = function(d, place) if get(d, place) == '.' then launch(d, place) end end,
    m = function(d, place) if get(d, place) == 'q' then spawn(d, place) end end,
    d = function(d, place)
      d.budget = d.budget - 1
      decide(d, place)
    end,
    i = function(d, place, item)
      d.budget = d.budget - 1
      local key = prefix .. 'dag.i:' .. place .. ':' .. d.id
      local code = redis.call('GETRANGE', key, item, item)
      if code == '.' then return end
      redis.call('SETRANGE', key, item, '.')
      redis.call('HINCRBY', d.m, place .. 'l', 1)
      if code ~= 's' then redis.call('HINCRBY', d.m, place .. 'b', -1) end
      redis.call('RPUSH', prefix .. 'dag.w:' .. place .. ':' .. d.id, item)
      spawn(d, place)
    end,
    x = function(d, place, item) stop(d, item and record(d, place).i .. '[' .. item .. ']' or record(d, place).i) end,
    n = function(d, place, item)
      -- Whoever found that the item has no run may have looked just before it ended.
      local code = redis.call('GETRANGE', prefix .. 'dag.i:' .. place .. ':' .. d.id, item, item)
      if get(d, place) == 'q' and code == '.' then create(d, place, record(d, place), item) end
    end,
  }

  local function item_ended(d, place, item, code, output)
    local key = prefix .. 'dag.i:' .. place .. ':' .. d.id
    if redis.call('GETRANGE', key, item, item) ~= '.' then return end
    redis.call('SETRANGE', key, item, code)
    if output ~= '' then redis.call('HSET', prefix .. 'dag.o:' .. place .. ':' .. d.id, item, output) end
    redis.call('HINCRBY', d.m, place .. 'r', -1)
    local bad = redis.call('HINCRBY', d.m, place .. 'b', code == 's' and 0 or 1)
    local left = redis.call('HINCRBY', d.m, place .. 'l', -1)
    if left == 0 then end_map(d, place, redis.call('HGET', d.m, place .. 'n'), bad) else spawn(d, place) end
  end

  -- Released from quarantine by hand, after the others went on without it: its output is kept for a rerun.
  local function late_success(d, place, output)
    if output ~= '' then redis.call('HSET', d.o, place, output) end
    set(d, place, 's')
    redis.call('HINCRBY', d.key, 'bad', -1)
  end

  -- How many nodes are in which state, as JSON.
  local function summary(d)
    local states, parts = redis.call('GET', d.s), {}
    for code, state in pairs(STATES) do
      local _, count = string.gsub(states, code, '')
      if count > 0 then parts[#parts + 1] = '"' .. state .. '":' .. count end
    end
    return '{"summary":{' .. table.concat(parts, ',') .. '}}'
  end

  local function expire(d)
    for _, queue in ipairs(redis.call('SMEMBERS', d.r)) do redis.call('PEXPIRE', ready(d, queue), key_ttl) end
    for _, letter in ipairs({'s', 'c', 'k', 'o', 't', 'p', 'l', 'm', 'a', 'r'}) do redis.call('PEXPIRE', d[letter], key_ttl) end
    redis.call('PEXPIRE', d.key, key_ttl)
    for _, field in ipairs(redis.call('HKEYS', d.m)) do
      local place = string.match(field, '^(%d+)n$')
      if place then
        for _, letter in ipairs({'i', 'v', 'o', 'w'}) do redis.call('PEXPIRE', prefix .. 'dag.' .. letter .. ':' .. place .. ':' .. d.id, key_ttl) end
      end
    end
    if redis.call('HINCRBY', d.graph, '#users', -1) <= 0 then redis.call('PEXPIRE', d.graph, key_ttl * 2) end
  end

  -- The next DAG run that waited for its turn.
  local function next_in_line(name)
    while true do
      local next_id = redis.call('LPOP', prefix .. 'dag.line:' .. name)
      if not next_id then return end
      local message = redis.call('HGET', prefix .. 'run:' .. next_id, 'm')
      if message then
        redis.call('HDEL', prefix .. 'run:' .. next_id, 'm')
        return queue_run(prefix, direct, next_id, message, requeue_at)
      end
    end
  end

  -- The last node has ended: so has the DAG run. Its keys stay for a rerun, for a stated time.
  local function finish(d)
    if redis.call('ZREM', prefix .. 'dags', d.id) == 0 then return end
    local h = redis.call('HMGET', d.key, 'bad', 'why')
    local state, reason, bad = 'succeeded', '', tonumber(h[1])
    if bad > 0 and d.cancel then
      state, reason = d.cancel == 'timed_out' and 'timed_out' or 'cancelled', d.cancel
    elseif bad > 0 then
      state, reason = 'failed', bad .. ' of ' .. d.n .. ' nodes did not end well; first: ' .. (h[2] or '')
    end
    redis.call('HSET', d.key, 'end', state, 'reason', reason)
    redis.call('XADD', prefix .. 'events', '*', 'k', 'dag_finished', 'r', d.id, 't', now, 'state', state, 'reason', reason, 'outcome', summary(d))
    end_run(prefix, direct, d.id, state, now, requeue_at, key_ttl, reason ~= '' and {'reason', reason} or {})
    expire(d)
    redis.call('SREM', prefix .. 'dag.active:' .. d.name, d.id)
    next_in_line(d.name)
  end

  -- They are cancelled, or belong to a former run of these nodes.
  function built.forget_ready(d)
    for _, queue in ipairs(redis.call('SMEMBERS', d.r)) do redis.call('DEL', ready(d, queue)) end
    redis.call('DEL', d.r)
  end

  built.tell_node, built.settle_unrun, built.end_map, built.finish = tell_node, settle_unrun, end_map, finish
  built.item_ended, built.late_success = item_ended, late_success
