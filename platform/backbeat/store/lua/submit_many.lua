-- KEYS: timers | ARGV: prefix, direct, requeue_ms, delay_ms, queue, fields, ... | returns: {now, id of a new run, ...}
-- Create the runs of one job that a caller asked for, each by the rules of submit.lua, and hand their messages over.
-- fields: JSON list of names and values that all of them share. Then follow letters: how many runs it carries, its message, and
-- for each of them the id and the arguments. A letter of which no run is new is not sent; one that names some that were there
-- before may be: claims refuse what is not queued.
-- delay_ms > 0 keeps the runs pending on the time index, and sends nothing.
-- include: common
local now = now_ms()
local prefix, delay, fields, timers, reply = ARGV[1], tonumber(ARGV[4]), cjson.decode(ARGV[6]), {}, {now}
local state = delay > 0 and 'pending' or 'queued'
local clock, due = delay > 0 and 'e' or 'qt', now + (delay > 0 and delay or ARGV[3])

local function create(run_id, arguments)
  local key = prefix .. 'run:' .. run_id
  if redis.call('EXISTS', key, prefix .. 'done:' .. run_id) > 0 then return false end
  redis.call('HSET', key, 's', state, 'a', '0', 'c', now, clock, due, 'x', arguments, unpack(fields))
  timers[#timers + 1] = due
  timers[#timers + 1] = run_id
  reply[#reply + 1] = run_id
  return true
end

local i = 7
while ARGV[i] do
  local message, fresh, first = ARGV[i + 1], false, i + 2
  i = first + 2 * ARGV[i]
  for place = first, i - 2, 2 do fresh = create(ARGV[place], ARGV[place + 1]) or fresh end
  if fresh and delay == 0 then hand_over(prefix, ARGV[2], ARGV[5], message) end
end
if #timers > 0 then redis.call('ZADD', KEYS[1], unpack(timers)) end
return reply
