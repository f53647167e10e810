-- KEYS: lease, due, entries | ARGV: holder, fence, prefix, direct, requeue_ms, batch | returns: {now, leads, fired, refused, omitted, duplicate}
-- Advance entries and turn their occurrences into runs, all or nothing for each entry.
-- batch: JSON list of {id, score seen, next score or '', runs, omissions};
--   run: {run id, fields of the run, overlap policy, message}; omission: {reason, from, to, count}.
-- An entry whose score is no longer the one that was read is refused: somebody edited it or a later leader advanced it.
-- include: common
local now = now_ms()
if not leads(KEYS[1], ARGV[1], ARGV[2], now) then return {now, 0, 0, 0, 0, 0} end
local prefix, direct, requeue_at = ARGV[3], ARGV[4], now + ARGV[5]
local fired, refused, omitted, duplicate = 0, 0, 0, 0

local function omit(id, reason, from, to, count)
  redis.call('XADD', prefix .. 'events', '*', 'k', 'omitted', 'r', id, 't', now, 'reason', reason, 'from', from, 'to', to, 'count', count)
  omitted = omitted + count
end

local function create(run_id, fields)
  redis.call('HSET', prefix .. 'run:' .. run_id, 's', 'queued', 'a', '0', 'c', now, unpack(fields))
end

-- The new run waits behind the one that holds the job's slot.
local function stand_in_line(run_id, fields, job, message)
  create(run_id, fields)
  redis.call('HSET', prefix .. 'run:' .. run_id, 's', 'pending', 'm', message)
  redis.call('RPUSH', prefix .. 'line:' .. job, run_id)
end

-- overlap=replace: whoever waits is cancelled at once, whoever runs is asked to stop.
local function replace(job, holder_id)
  local waiting = redis.call('LRANGE', prefix .. 'line:' .. job, 0, -1)
  redis.call('DEL', prefix .. 'line:' .. job)
  for _, id in ipairs(waiting) do end_run(prefix, direct, id, 'cancelled', now, requeue_at, 1, {'reason', 'replaced'}) end
  local state = redis.call('HGET', prefix .. 'run:' .. holder_id, 's')
  if state == 'running' then
    redis.call('HSET', prefix .. 'run:' .. holder_id, 'cancel', 'replaced')
  else
    end_run(prefix, direct, holder_id, 'cancelled', now, requeue_at, 1, {'reason', 'replaced'})
  end
end

local function fire(id, run)
  local run_id, fields, overlap, message = run[1], run[2], run[3], run[4]
  if redis.call('EXISTS', prefix .. 'run:' .. run_id) == 1 then
    duplicate = duplicate + 1
    return
  end
  if overlap ~= 'allow' then
    local job = fields[2]
    local holder_id = redis.call('HGET', prefix .. 'busy', job)
    if holder_id and overlap == 'replace' then
      replace(job, holder_id)
      holder_id = redis.call('HGET', prefix .. 'busy', job)
    end
    if holder_id and overlap == 'skip' then
      omit(id, 'overlap', fields[4], fields[4], 1)
      return
    elseif holder_id then
      stand_in_line(run_id, fields, job, message)
      fired = fired + 1
      return
    end
    redis.call('HSET', prefix .. 'busy', job, run_id)
  end
  create(run_id, fields)
  queue_run(prefix, direct, run_id, message, requeue_at)
  fired = fired + 1
end

for _, entry in ipairs(cjson.decode(ARGV[6])) do
  local id, seen, next_score, runs, omissions = entry[1], entry[2], entry[3], entry[4], entry[5]
  if redis.call('ZSCORE', KEYS[2], id) ~= seen then
    refused = refused + 1
  else
    if next_score == '' then
      redis.call('ZREM', KEYS[2], id)
    else
      redis.call('ZADD', KEYS[2], next_score, id)
    end
    for _, o in ipairs(omissions) do omit(id, o[1], o[2], o[3], o[4]) end
    for _, run in ipairs(runs) do fire(id, run) end
  end
end
return {now, 1, fired, refused, omitted, duplicate}
