-- KEYS: lease, due, entries | ARGV: holder, fence, prefix, direct, requeue_ms, batch, ... | returns: {now, leads, fired, refused, duplicate, reason, count, ...}
-- Advance entries and turn their occurrences into runs, all or nothing for each entry.
-- batch: JSON of store/batch.py. Entry i is named ids[i], takes steps[taken[i]] and gives its runs the arguments given[i].
--   step: seen (the score that was read), next, queue, overlap, omissions {reason, from, to, count}, and its fires:
--   {nominal, the same in words, number of the mould of its message, packed facts, number of the mould of a message that it
--   may share with up to batch runs in all, 0 for none};
--   told: '' for jobs. Fires of other entries are noted for whoever reports them to the storage they came from: 'ledger', or
--   'stock' when their workers don't know the ledger, which then keeps no run;
--   limit: how many runs the entry may have in all, 0 for any number. With the last of them it is never due again, and
--   what would have followed is no omission.
-- nothing: no arguments, as a message has them that carries several runs, whose own stay in the ledger.
-- After the batch, arguments come in twos: as a run keeps them, and as a message has them.
-- An entry whose score is no longer the one that was read is refused: somebody edited it or a later leader advanced it.
-- include: common
local now = now_ms()
if not leads(KEYS[1], ARGV[1], ARGV[2], now) then return {now, 0, 0, 0, 0} end
local prefix, direct, requeue_at = ARGV[3], ARGV[4], now + ARGV[5]
-- As text: a number would become one anew for each of the commands that it is given to.
local look_at = string.format('%.0f', requeue_at)
local batch, run_key, created = cjson.decode(ARGV[6]), ARGV[3] .. 'run:', 'c\31' .. now .. '\31j\31'
local steps, taken = batch.steps, batch.taken
local fired, refused, omitted, duplicate = 0, 0, {}, 0
local scores, timers, queues = {}, {}, {}

local function omit(id, reason, from, to, count)
  redis.call('XADD', prefix .. 'events', '*', 'k', 'omitted', 'r', id, 't', now, 'reason', reason, 'from', from, 'to', to, 'count', count)
  omitted[reason] = (omitted[reason] or 0) + count
end

-- The fields of a run as one text, for `open_run`. Put together at once: the server hashes and keeps each text in between, too.
local function pack(id, fire, given)
  local hash, arguments = string.find(id, '#', 1, true), ARGV[5 + 2 * given]
  if not hash then return created .. id .. '\31x\31' .. arguments .. '\31' .. fire[4] end
  return created .. string.sub(id, 1, hash - 1) .. '\31x\31' .. arguments .. '\31' .. fire[4] .. '\31sid\31' .. id
end

-- core/message.py says what stands in the mould; `fill` there is this function.
local function fill(mould, name, run_id, arguments)
  local m = batch.moulds[mould]
  return m[1] .. name .. m[2] .. run_id .. m[3] .. run_id .. m[4] .. arguments .. m[5] .. run_id .. m[6] .. run_id .. m[7]
end

local function message_of(id, run_id, fire, given)
  return fill(fire[3], id, run_id, ARGV[6 + 2 * given])
end

-- overlap=replace: whoever waits is cancelled at once, whoever runs is asked to stop.
local function replace(job, holder_id)
  local waiting = redis.call('LRANGE', prefix .. 'line:' .. job, 0, -1)
  redis.call('DEL', prefix .. 'line:' .. job)
  open_run(run_key .. holder_id)
  waiting[#waiting + 1] = redis.call('HGET', run_key .. holder_id, 's') ~= 'running' and holder_id or nil
  for _, id in ipairs(waiting) do end_run(prefix, direct, id, 'cancelled', now, requeue_at, 1, {'reason', 'replaced'}) end
  if redis.call('HGET', prefix .. 'busy', job) then ask_to_stop(prefix, holder_id, 'replaced', now) end
end

-- Whether the run may be queued at once, as far as the job's earlier runs are concerned; if so, it takes the job's slot.
local function has_room(job, run_id, overlap)
  local holder_id = redis.call('HGET', prefix .. 'busy', job)
  if holder_id and overlap == 'replace' then
    replace(job, holder_id)
    holder_id = redis.call('HGET', prefix .. 'busy', job)
  end
  if holder_id then return false end
  redis.call('HSET', prefix .. 'busy', job, run_id)
  return true
end

-- The new run waits behind the one that holds the job's slot.
local function stand_in_line(job, run_id, packed, message)
  redis.call('HSET', run_key .. run_id, 's', 'pending', 'm', message, 'p', packed)
  redis.call('RPUSH', prefix .. 'line:' .. job, run_id)
  fired = fired + 1
end

local function push(queue, message)
  local line = queues[queue] or {}
  queues[queue] = line
  line[#line + 1] = message
end

-- Runs on their way into one message, by the mould of it, which also tells their job's task and queue.
local groups = {}

-- A run that found no company goes by itself, in a message of its own.
local function send(group)
  local n = #group.ids
  if n == 1 then return push(group.queue, message_of(unpack(group.first))) end
  push(group.queue, fill(group.mould, table.concat(group.ids, '\\n'), group.ids[1] .. '+' .. (n - 1), batch.nothing))
end

local function join(step, id, run_id, fire, given)
  local group = groups[fire[5]]
  if not group then
    group = {mould = fire[5], queue = step.queue, ids = {}, first = {id, run_id, fire, given}}
    groups[fire[5]] = group
  end
  group.ids[#group.ids + 1] = run_id
  if #group.ids >= step.batch then
    send(group)
    groups[fire[5]] = nil
  end
end

-- unhindered: nothing can keep its runs from being made but that they exist. plain: so it is, and all there is to it is one run
-- with a message of its own.
for _, step in ipairs(steps) do
  step.unhindered = step.overlap == 'allow' and step.limit == 0 and step.told ~= 'stock'
  step.plain = step.unhindered and step.told == '' and #step.omissions == 0 and #step.fires == 1 and step.fires[1][5] == 0
end

local places = redis.call('ZMSCORE', KEYS[2], unpack(batch.ids))

-- Most runs of a batch were never seen before: one question for all of them is enough then, and for those that nothing else
-- can hinder it makes them, too. Returns whether those were made, and whether any of the others is known.
local function make_at_once()
  local made, others, n = {}, {}, 0
  for i, id in ipairs(batch.ids) do
    local step = steps[taken[i]]
    local at_once = step.unhindered
    for _, fire in ipairs(places[i] == step.seen and step.fires or {}) do
      local key = run_key .. id .. '@' .. fire[2]
      if at_once then
        made[n + 1], made[n + 2] = key, pack(id, fire, batch.given[i])
        n = n + 2
      else
        others[#others + 1] = key
      end
    end
  end
  return n > 0 and redis.call('MSETNX', unpack(made)) == 1, #others > 0 and redis.call('EXISTS', unpack(others)) > 0
end
local all_made, some_known = make_at_once()

-- The run is queued: somebody looks after it if nobody claims it, and its message goes out.
local function enqueue(id, step, run_id, fire, given)
  timers[#timers + 1] = look_at
  timers[#timers + 1] = run_id
  fired = fired + 1
  if fire[5] > 0 then return join(step, id, run_id, fire, given) end
  push(step.queue, message_of(id, run_id, fire, given))
end

local function fire_one(id, step, fire, given)
  local run_id = id .. '@' .. fire[2]
  if step.told == 'stock' then
    fired = fired + 1
    return push(step.queue, message_of(id, run_id, fire, given))
  end
  if step.unhindered and all_made then return enqueue(id, step, run_id, fire, given) end
  if (step.unhindered or some_known) and redis.call('EXISTS', run_key .. run_id) == 1 then
    duplicate = duplicate + 1
    return
  end
  local packed = pack(id, fire, given)
  if step.overlap ~= 'allow' then
    local job = string.match(id, '^[^#]+')
    if not has_room(job, run_id, step.overlap) then
      if step.overlap == 'skip' then return omit(id, 'overlap', fire[1], fire[1], 1) end
      return stand_in_line(job, run_id, packed, message_of(id, run_id, fire, given))
    end
  end
  redis.call('SET', run_key .. run_id, packed)
  enqueue(id, step, run_id, fire, given)
end

local function advance(id, step, given)
  local limit, before, fires = step.limit, fired, step.fires
  local left = limit > 0 and limit - tonumber(redis.call('HGET', prefix .. 'spent', id) or 0) or math.huge
  if left > 0 then
    for _, o in ipairs(step.omissions) do omit(id, o[1], o[2], o[3], o[4]) end
  end
  for _, fire in ipairs(fires) do
    if fired - before >= left then break end
    fire_one(id, step, fire, given)
  end
  if limit > 0 and fired > before then redis.call('HINCRBY', prefix .. 'spent', id, fired - before) end
  scores[#scores + 1] = fired - before >= left and 'inf' or step.next
  scores[#scores + 1] = id
  if step.told ~= '' and fired > before then
    redis.call('HINCRBY', prefix .. 'counts', id, fired - before)
    redis.call('ZADD', prefix .. 'fired', fires[#fires][1], id)
  end
end

-- What `advance` does for most entries, by the shortest way: half of the script's time is Lua's own.
local function advance_plain(id, step, given)
  local fire = step.fires[1]
  local run_id, n, t = id .. '@' .. fire[2], #scores, #timers
  scores[n + 1], scores[n + 2] = step.next, id
  timers[t + 1], timers[t + 2] = look_at, run_id
  fired = fired + 1
  push(step.queue, fill(fire[3], id, run_id, ARGV[6 + 2 * given]))
end

for i, id in ipairs(batch.ids) do
  local step = steps[taken[i]]
  if places[i] ~= step.seen then
    refused = refused + 1
  elseif all_made and step.plain then
    advance_plain(id, step, batch.given[i])
  else
    advance(id, step, batch.given[i])
  end
end

for _, group in pairs(groups) do send(group) end

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
