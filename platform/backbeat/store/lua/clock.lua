-- The one clock, and who may write. Alone in a script that changes no run: the server reads all that a script includes each time.

local function now_ms()
  local t = redis.call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000)
end

-- A run that is one text becomes the hash that has its fields, and those given. Of a name that comes twice the last value is true.
local function spread(key, packed, fields)
  for part in string.gmatch(packed, '[^\31]+') do fields[#fields + 1] = part end
  redis.call('HSET', key, unpack(fields))
end

-- Fields of a run, for whoever says that it holds it. A text that nobody has touched since it was fired is nobody's; one that a
-- worker has in hand says so first (claiming.lua), and is a hash from now on.
local function held_run(key, ...)
  local run = redis.pcall('HMGET', key, ...)
  if not run.err then return run end
  if redis.call('GETRANGE', key, 0, 9) ~= 's\31running\31' then return {} end
  spread(key, redis.call('GETDEL', key), {})
  return redis.call('HMGET', key, ...)
end

-- The fence: true only while this holder leads the shard and no later leader has been elected.
local function leads(lease_key, holder, fence, now)
  local l = redis.call('HMGET', lease_key, 'h', 'f', 'u')
  return l[1] == holder and l[2] == fence and tonumber(l[3] or 0) > now
end
