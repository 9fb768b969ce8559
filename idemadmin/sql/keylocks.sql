-- Transactions that have an advisory lock like that of a key and have read the table,
-- with each lock on that: idemtx looks the key up as soon as it has the lock.
SELECT k.pid, k.virtualtransaction, r.mode
FROM pg_catalog.pg_locks k
JOIN pg_catalog.pg_locks r ON r.virtualtransaction = k.virtualtransaction AND r.pid IS NOT DISTINCT FROM k.pid
WHERE k.locktype = 'advisory' AND k.granted AND k.objsubid = 1 AND k.mode = 'ExclusiveLock'
	AND r.locktype = 'relation' AND r.granted AND r.relation = $1::text::regclass
	AND k.database = r.database
	AND r.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database())
