-- KEYS: timers | ARGV: prefix, limit, max_losses, grace_ms, direct, requeue_ms, key_ttl | returns: {now, {run id, score, field, value, ...}, ...}
-- Everything whose time is up: an expired lease becomes a loss (retried at once, quarantined at the limit); runs that wait
-- for a message (again) are returned, to be queued by `queue`. Losses wait grace_ms longer (after an outage nobody could renew).
-- include: common
local now = now_ms()
local prefix = ARGV[1]
local reply = {now}

-- What is said of a loss that nobody saw: the worker, or its connection, was gone for a whole lease.
local LEASE_ENDED = '{"error":{"type":"LeaseEnded","message":"the worker stopped renewing its lease"}}'

local function lose(run_id, key)
  local losses = redis.call('HINCRBY', key, 'l', 1)
  local why = {'outcome', redis.call('HGET', key, 'lw') or LEASE_ENDED}
  redis.call('HDEL', key, 'h', 'who', 'lw', 'se')
  tell(prefix, 'lost', run_id, now, why)
  leave(prefix, ARGV[5], run_id, now, now + ARGV[6])
  if redis.call('HGET', key, 'cancel') then
    end_run(prefix, ARGV[5], run_id, 'cancelled', now, now + ARGV[6], ARGV[7], {})
    return false
  end
  if losses >= tonumber(ARGV[3]) then
    redis.call('HSET', key, 's', 'quarantined')
    redis.call('ZREM', KEYS[1], run_id)
    tell(prefix, 'quarantined', run_id, now, why)
    free_busy(prefix, ARGV[5], redis.call('HGET', key, 'j'), run_id, now + ARGV[6])
    node_ended(prefix, ARGV[5], facts_of(key), 'quarantined', now, now + ARGV[6], ARGV[7])
    return false
  end
  redis.call('HSET', key, 's', 'retrying')
  redis.call('ZADD', KEYS[1], now, run_id)
  return true
end

local found = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'WITHSCORES', 'LIMIT', 0, ARGV[2])
for i = 1, #found, 2 do
  local run_id, score = found[i], found[i + 1]
  local key = prefix .. 'run:' .. run_id
  open_run(key)
  local state = redis.call('HGET', key, 's')
  local wanted = state ~= 'running'
  if not state then
    redis.call('ZREM', KEYS[1], run_id)
    wanted = false
  elseif state == 'pending' and still_waits(prefix, ARGV[5], run_id, now, now + ARGV[6]) then
    wanted = false
  elseif state == 'running' and tonumber(score) + ARGV[4] <= now then
    wanted = lose(run_id, key)
    score = tostring(now)
  end
  if wanted then
    local run = redis.call('HGETALL', key)
    table.insert(run, 1, redis.call('ZSCORE', KEYS[1], run_id))
    table.insert(run, 1, run_id)
    reply[#reply + 1] = run
  end
end
return reply
