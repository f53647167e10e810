-- The one clock, and who may write. Alone in a script that changes no run: the server reads all that a script includes each time.

local function now_ms()
  local t = redis.call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000)
end

-- The fence: true only while this holder leads the shard and no later leader has been elected.
local function leads(lease_key, holder, fence, now)
  local l = redis.call('HMGET', lease_key, 'h', 'f', 'u')
  return l[1] == holder and l[2] == fence and tonumber(l[3] or 0) > now
end
