-- Lets whatever lies under a lock's key lapse like the lock of a dead holder:
-- nothing of ours lies there without a time to live, but it would lock for ever.
--
-- KEYS: the lock. ARGV: lease in ms.
local ttl = redis.call("pttl", KEYS[1])
if ttl == -1 or ttl > tonumber(ARGV[1]) then
	return redis.call("pexpire", KEYS[1], ARGV[1])
end
return 0
