-- Looks at an entry and at its lock: what a process that waits needs to know in
-- one command. A key of another type, one without a time to live and one that is
-- too long are not an entry of this package.
--
-- KEYS: the entry, its lock. ARGV: the longest value.
-- Returns the entry or false, its time to live in ms, that of the lock.
local lock = redis.call("pttl", KEYS[2])
local value, left = redis.pcall("get", KEYS[1]), redis.call("pttl", KEYS[1])
if type(value) ~= "string" or left <= 0 or #value > tonumber(ARGV[1]) then
	return {false, 0, lock}
end
return {value, left, lock}
