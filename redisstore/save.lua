-- Saves an entry, for a holder of the refresh lock only while it holds it: a
-- command that was long on its way must not replace the entry of the next one.
--
-- KEYS: the entry, its lock. ARGV: value, time to live in ms, the holder's lock
-- token or "".
if ARGV[3] ~= "" and redis.pcall("get", KEYS[2]) ~= ARGV[3] then
	return 0
end
redis.call("set", KEYS[1], ARGV[1], "PX", ARGV[2])
return 1
