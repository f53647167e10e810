-- The one clock, and who may write. Alone in a script that changes no run: the server reads all that a script includes each time.

local function now_ms()
  local t = redis.call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000)
end

-- Fields of a run, for whoever says that it holds it. Nobody holds one that was not touched since it was fired: it is no hash yet.
local function held_run(key, ...)
  local run = redis.pcall('HMGET', key, ...)
  return run.err and {} or run
end

-- The fence: true only while this holder leads the shard and no later leader has been elected.
local function leads(lease_key, holder, fence, now)
  local l = redis.call('HMGET', lease_key, 'h', 'f', 'u')
  return l[1] == holder and l[2] == fence and tonumber(l[3] or 0) > now
end
