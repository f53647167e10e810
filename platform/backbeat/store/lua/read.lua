-- KEYS: run, ... | ARGV: none | returns: {{field, value, ...}, ...}
-- What is kept of each run; of one that is a text still (common.lua), its packed fields, and its state unless that is among them.
local reply = {}
for i, key in ipairs(KEYS) do
  if redis.call('TYPE', key).ok ~= 'string' then
    reply[i] = redis.call('HGETALL', key)
  else
    local packed = redis.call('GET', key)
    reply[i] = string.sub(packed, 1, 2) == 's\31' and {'p', packed} or {'s', 'queued', 'p', packed}
  end
end
return reply
