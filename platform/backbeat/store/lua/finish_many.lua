-- KEYS: timers | ARGV: prefix, holder, direct, requeue_ms, key_ttl, run_id, attempt, state, delay_ms, outcome, ... | returns: {now, run id, ...}
-- End many attempts of one holder, each by the rules of finish.lua; after the first five arguments come five for each of them.
-- Returns those that were still the holder's to end. Of nodes of DAGs only those come this way
-- that were cancelled; a keeper sees to what that means for their DAG runs.
-- Runs that are packed still (claiming.lua) have no key, limit or graph to look after. Those of which history has heard nothing, or
-- whose start is taken back, share an event, up to TOGETHER of them: 'ended', run id -> packed facts, state and outcome, parted by \30.
-- include: common
-- include: finishing
local now = now_ms()
local prefix = ARGV[1]
local ask = {prefix = prefix, timers = KEYS[1], holder = ARGV[2], direct = ARGV[3], requeue_ms = ARGV[4], key_ttl = ARGV[5]}
local TOGETHER, LONG = 25, 4096
local busy = redis.call('EXISTS', prefix .. 'busy') == 1
local reply, told, keys, ids, seen = {now}, {}, {}, {}, {}

local function tell_ended()
  if #ids == 0 then return end
  if #told > 0 then redis.call('XADD', prefix .. 'events', '*', 'k', 'ended', 't', now, unpack(told)) end
  redis.call('DEL', unpack(keys))
  redis.call('ZREM', KEYS[1], unpack(ids))
  told, keys, ids = {}, {}, {}
end

local function end_packed(id, key, run, state, outcome)
  if run[8] and not take_back(prefix, run[8]) then
    tell_packed(prefix, 'finished', id, run[5], now, run[6], run[7], {'outcome', outcome, 'state', state})
  else
    told[#told + 1] = id
    told[#told + 1] = run[5] .. '\31a\31' .. run[3] .. '\31w\31' .. run[6] .. '\31st\31' .. run[7] .. '\30' .. state .. '\30' .. outcome
  end
  keys[#keys + 1], ids[#ids + 1], seen[id] = key, id, true
  if busy then free_busy(prefix, ask.direct, string.match('\31' .. run[5], '\31j\31([^\31]*)'), id, now + ask.requeue_ms) end
  if #ids >= TOGETHER then tell_ended() end
end

for i = 6, #ARGV, 5 do
  local id, attempt, state, delay_ms, outcome = unpack(ARGV, i, i + 4)
  local key, won = prefix .. 'run:' .. id, not seen[id]
  local run = held_run(key, 's', 'h', 'a', 'cancel', 'p', 'w', 'st', 'se')
  local plain = run[5] and run[1] == 'running' and run[2] == ask.holder and run[3] == attempt and not run[4] and delay_ms == '' and #outcome < LONG
  if won and plain then
    end_packed(id, key, run, state, outcome)
  elseif won then
    won = finish_run(ask, id, now, attempt, state, delay_ms, outcome)[1] == 1
  end
  if won then reply[#reply + 1] = id end
end
tell_ended()
return reply
