-- KEYS: lease, due, entries | ARGV: holder, fence, prefix, direct, requeue_ms, batch, message, ... | returns: {now, leads, fired, refused, omitted, duplicate}
-- Advance entries and turn their occurrences into runs, all or nothing for each entry.
-- batch: JSON list of {id, score seen, next score, runs, omissions};
--   run: {run id, fields of the run, overlap policy, number of its message}; omission: {reason, from, to, count}.
-- Messages come as arguments of their own: reading them as JSON would cost more than all the rest.
-- An entry whose score is no longer the one that was read is refused: somebody edited it or a later leader advanced it.
-- include: common
local now = now_ms()
if not leads(KEYS[1], ARGV[1], ARGV[2], now) then return {now, 0, 0, 0, 0, 0} end
local prefix, direct, requeue_at = ARGV[3], ARGV[4], now + ARGV[5]
local fired, refused, omitted, duplicate = 0, 0, 0, 0
local scores, timers, queues = {}, {}, {}

local function omit(id, reason, from, to, count)
  redis.call('XADD', prefix .. 'events', '*', 'k', 'omitted', 'r', id, 't', now, 'reason', reason, 'from', from, 'to', to, 'count', count)
  omitted = omitted + count
end

-- The new run waits behind the one that holds the job's slot.
local function stand_in_line(run_id, fields, job, message)
  redis.call('HSET', prefix .. 'run:' .. run_id, 's', 'pending', 'c', now, 'm', message, unpack(fields))
  redis.call('RPUSH', prefix .. 'line:' .. job, run_id)
end

-- overlap=replace: whoever waits is cancelled at once, whoever runs is asked to stop.
local function replace(job, holder_id)
  local waiting = redis.call('LRANGE', prefix .. 'line:' .. job, 0, -1)
  redis.call('DEL', prefix .. 'line:' .. job)
  waiting[#waiting + 1] = redis.call('HGET', prefix .. 'run:' .. holder_id, 's') ~= 'running' and holder_id or nil
  for _, id in ipairs(waiting) do end_run(prefix, direct, id, 'cancelled', now, requeue_at, 1, {'reason', 'replaced'}) end
  if redis.call('HGET', prefix .. 'busy', job) then ask_to_stop(prefix, holder_id, 'replaced', now) end
end

-- Whether the run may be queued at once, as far as the job's earlier runs are concerned.
local function has_room(id, run_id, fields, overlap, message)
  local job = fields[2]
  local holder_id = redis.call('HGET', prefix .. 'busy', job)
  if holder_id and overlap == 'replace' then
    replace(job, holder_id)
    holder_id = redis.call('HGET', prefix .. 'busy', job)
  end
  if not holder_id then
    redis.call('HSET', prefix .. 'busy', job, run_id)
    return true
  end
  if overlap == 'skip' then
    omit(id, 'overlap', fields[4], fields[4], 1)
  else
    stand_in_line(run_id, fields, job, message)
    fired = fired + 1
  end
  return false
end

local function fire(id, run)
  local run_id, fields, overlap, message = run[1], run[2], run[3], ARGV[6 + run[4]]
  local key = prefix .. 'run:' .. run_id
  if redis.call('EXISTS', key) == 1 then
    duplicate = duplicate + 1
    return
  end
  if overlap ~= 'allow' and not has_room(id, run_id, fields, overlap, message) then return end
  redis.call('HSET', key, 's', 'queued', 'c', now, unpack(fields))
  timers[#timers + 1] = requeue_at
  timers[#timers + 1] = run_id
  local queue = queues[fields[6]] or {}
  queues[fields[6]] = queue
  queue[#queue + 1] = message
  fired = fired + 1
end

for _, entry in ipairs(cjson.decode(ARGV[6])) do
  local id, seen, next_score, runs, omissions = entry[1], entry[2], entry[3], entry[4], entry[5]
  if redis.call('ZSCORE', KEYS[2], id) ~= seen then
    refused = refused + 1
  else
    scores[#scores + 1] = next_score
    scores[#scores + 1] = id
    for _, o in ipairs(omissions) do omit(id, o[1], o[2], o[3], o[4]) end
    for _, run in ipairs(runs) do fire(id, run) end
  end
end

-- The bulk of the writes, many at once.
if #scores > 0 then redis.call('ZADD', KEYS[2], unpack(scores)) end
if #timers > 0 then redis.call('ZADD', prefix .. 'timers', unpack(timers)) end
for queue, messages in pairs(queues) do
  if direct == '1' then
    redis.call('LPUSH', queue, unpack(messages))
  else
    for _, message in ipairs(messages) do hand_over(prefix, direct, queue, message) end
  end
end
return {now, 1, fired, refused, omitted, duplicate}
