-- Deletes an entry only while it is the one that was rejected. A key of another
-- type (pcall returns its error) is another value.
--
-- KEYS: the entry. ARGV: value.
if redis.pcall("get", KEYS[1]) == ARGV[1] then
	return redis.call("del", KEYS[1])
end
return 0
