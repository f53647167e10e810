-- KEYS: lease | ARGV: holder, ttl_ms, release | returns: {now, fence or 0, holder, until}
-- Take or renew the right to act for a shard. Every change of holder raises the fence; release keeps the fence, ends the time.
-- include: clock
local now = now_ms()
local l = redis.call('HMGET', KEYS[1], 'h', 'f', 'u')
local held = tonumber(l[3] or 0) > now
if ARGV[3] == '1' then
  if l[1] == ARGV[1] then redis.call('HSET', KEYS[1], 'u', 0) end
  return {now, 0, '', 0}
end
if held and l[1] ~= ARGV[1] then return {now, 0, l[1], tonumber(l[3])} end

local fence = tonumber(l[2] or 0)
if not held or l[1] ~= ARGV[1] then fence = fence + 1 end
local expires = now + ARGV[2]
redis.call('HSET', KEYS[1], 'h', ARGV[1], 'f', fence, 'u', expires)
return {now, fence, ARGV[1], expires}
