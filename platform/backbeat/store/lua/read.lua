-- KEYS: run, ... | ARGV: none | returns: {{field, value, ...}, ...}
-- What is kept of each run; of one that nobody has touched since it was fired, its state and its packed fields.
local reply = {}
for i, key in ipairs(KEYS) do
  local fresh = redis.call('TYPE', key).ok == 'string'
  reply[i] = fresh and {'s', 'queued', 'p', redis.call('GET', key)} or redis.call('HGETALL', key)
end
return reply
