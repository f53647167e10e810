-- KEYS: timers | ARGV: prefix, holder, direct, requeue_ms, key_ttl, attempt, state, delay_ms, outcome, count, run_id, ... | returns: {now, lost run id, ...}
-- End many attempts of one holder, each by the rules of finish.lua. After the first five arguments come groups: what their ends have in
-- common, how many they are, and their ids.
-- Returns those that were not the holder's to end any more. Of nodes of DAGs only those come this way
-- that were cancelled; a keeper sees to what that means for their DAG runs.
-- Runs that are packed still (claiming.lua) have no key, limit or graph to look after. Those of which history has heard nothing, or
-- whose start is taken back, share an event, up to TOGETHER of them: 'ended', and in one field for each its id, its text as it is here,
-- state and outcome, parted by \30. One field, because each string that Lua makes costs more than all that is done with it.
-- include: common
-- include: finishing
local now = now_ms()
local prefix = ARGV[1]
local ask = {prefix = prefix, timers = KEYS[1], holder = ARGV[2], direct = ARGV[3], requeue_ms = ARGV[4], key_ttl = ARGV[5]}
local TOGETHER, LONG = 25, 4096
local busy = redis.call('EXISTS', prefix .. 'busy') == 1
local mine = 's\31running\31h\31' .. ask.holder .. '\31'
local reply, told, gone, ids, seen = {now}, {}, {}, {}, {}

local function tell_ended()
  if #told > 0 then redis.call('XADD', prefix .. 'events', '*', 'k', 'ended', 't', now, 'runs', table.concat(told, '\30')) end
  told = {}
end

local function end_packed(id, key, text, state, outcome)
  local started = string.match(text, '^se\31([^\31]+)', #mine + 1)
  if started and not take_back(prefix, started) then
    local facts = string.sub(text, string.find(text, '\31a\0311\31', #mine, true) + 1)
    tell_packed(prefix, 'finished', id, facts, now, {'outcome', outcome, 'state', state})
  else
    local n = #told
    told[n + 1], told[n + 2], told[n + 3], told[n + 4] = id, text, state, outcome
    if n + 4 >= 4 * TOGETHER then tell_ended() end
  end
  gone[#gone + 1], ids[#ids + 1] = key, id
  if busy then free_busy(prefix, ask.direct, string.match(text, '\31j\31([^\31]*)'), id, now + ask.requeue_ms) end
end

local function end_group(attempt, state, delay_ms, outcome, first, last)
  local keys = {}
  for i = first, last do keys[#keys + 1] = prefix .. 'run:' .. ARGV[i] end
  local packed = attempt == '1' and delay_ms == '' and #outcome < LONG and redis.call('MGET', unpack(keys)) or {}
  for i, key in ipairs(keys) do
    local id, text = ARGV[first + i - 1], packed[i]
    if not seen[id] then
      local won
      if text then
        won = string.sub(text, 1, #mine) == mine
        if won then end_packed(id, key, text, state, outcome) end
      else
        local run, flat = facts_of(key)
        won = finish_run(ask, id, run, flat, now, attempt, state, delay_ms, outcome)[1] == 1
      end
      if won then seen[id] = true else reply[#reply + 1] = id end
    end
  end
end

local i = 6
while ARGV[i] do
  local attempt, state, delay_ms, outcome, count = unpack(ARGV, i, i + 4)
  end_group(attempt, state, delay_ms, outcome, i + 5, i + 4 + count)
  i = i + 5 + count
end
tell_ended()
if #ids > 0 then
  redis.call('DEL', unpack(gone))
  redis.call('ZREM', KEYS[1], unpack(ids))
end
return reply
