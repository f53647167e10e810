-- KEYS: lease, due, entries | ARGV: holder, fence, prefix, direct, requeue_ms, batch, ... | returns: {now, leads, fired, refused, duplicate, reason, count, ...}
-- Advance entries and turn their occurrences into runs, all or nothing for each entry.
-- batch: JSON list of {id, score seen, next score, runs, omissions, told, limit};
--   run: {run id, job, nominal, queue, packed fields, overlap policy, number of its message};
--   omission: {reason, from, to, count}; told: absent or '' for jobs. Fires of other entries are noted for whoever reports them
--   to the storage they came from: 'ledger', or 'stock' when their workers don't know the ledger, which then keeps no run;
--   limit: how many runs the entry may have in all, absent for any number. With the last of them it is never due again, and
--   what would have followed is no omission.
-- After the batch the messages come as arguments of their own: reading them as JSON would cost more than all the rest.
-- An entry whose score is no longer the one that was read is refused: somebody edited it or a later leader advanced it.
-- include: common
local now = now_ms()
if not leads(KEYS[1], ARGV[1], ARGV[2], now) then return {now, 0, 0, 0, 0} end
local prefix, direct, requeue_at = ARGV[3], ARGV[4], now + ARGV[5]
local fired, refused, omitted, duplicate = 0, 0, {}, 0
local scores, timers, queues = {}, {}, {}

local function omit(id, reason, from, to, count)
  redis.call('XADD', prefix .. 'events', '*', 'k', 'omitted', 'r', id, 't', now, 'reason', reason, 'from', from, 'to', to, 'count', count)
  omitted[reason] = (omitted[reason] or 0) + count
end

-- The new run waits behind the one that holds the job's slot.
local function stand_in_line(run_id, job, packed, message)
  redis.call('HSET', prefix .. 'run:' .. run_id, 's', 'pending', 'c', now, 'm', message, 'p', packed)
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
local function has_room(id, run_id, job, nominal, packed, overlap, message)
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
    omit(id, 'overlap', nominal, nominal, 1)
  else
    stand_in_line(run_id, job, packed, message)
    fired = fired + 1
  end
  return false
end

local function fire(id, told, run_id, job, nominal, queue, packed, overlap, number)
  local key, message = prefix .. 'run:' .. run_id, ARGV[6 + number]
  if told ~= 'stock' then
    if redis.call('EXISTS', key) == 1 then
      duplicate = duplicate + 1
      return
    end
    if overlap ~= 'allow' and not has_room(id, run_id, job, nominal, packed, overlap, message) then return end
    redis.call('HSET', key, 's', 'queued', 'c', now, 'p', packed)
    timers[#timers + 1] = requeue_at
    timers[#timers + 1] = run_id
  end
  local line = queues[queue] or {}
  queues[queue] = line
  line[#line + 1] = message
  fired = fired + 1
end

local batch, ids = cjson.decode(ARGV[6]), {}
for i, entry in ipairs(batch) do ids[i] = entry[1] end
local places = redis.call('ZMSCORE', KEYS[2], unpack(ids))
for i, entry in ipairs(batch) do
  local id, seen, next_score, runs, omissions = entry[1], entry[2], entry[3], entry[4], entry[5]
  if places[i] ~= seen then
    refused = refused + 1
  else
    local told, limit, before = entry[6] or '', entry[7], fired
    local left = limit and limit - tonumber(redis.call('HGET', prefix .. 'spent', id) or 0) or math.huge
    if left > 0 then
      for _, o in ipairs(omissions) do omit(id, o[1], o[2], o[3], o[4]) end
    end
    for _, run in ipairs(runs) do
      if fired - before >= left then break end
      fire(id, told, unpack(run))
    end
    if limit and fired > before then redis.call('HINCRBY', prefix .. 'spent', id, fired - before) end
    scores[#scores + 1] = fired - before >= left and 'inf' or next_score
    scores[#scores + 1] = id
    if told ~= '' and fired > before then
      redis.call('HINCRBY', prefix .. 'counts', id, fired - before)
      redis.call('ZADD', prefix .. 'fired', runs[#runs][3], id)
    end
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

local reply = {now, 1, fired, refused, duplicate}
for reason, count in pairs(omitted) do
  reply[#reply + 1] = reason
  reply[#reply + 1] = count
end
return reply
