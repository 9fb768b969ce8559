-- Transactions that have an advisory lock like that of a key and have read the
-- table: idemtx looks the key up as soon as it has the lock.
SELECT k.pid, k.virtualtransaction
FROM pg_catalog.pg_locks k
JOIN pg_catalog.pg_locks r ON r.virtualtransaction = k.virtualtransaction AND r.pid IS NOT DISTINCT FROM k.pid
WHERE k.locktype = 'advisory' AND k.granted AND k.objsubid = 1 AND k.mode = 'ExclusiveLock'
	AND r.locktype = 'relation' AND r.granted AND r.relation = $1::text::regclass
	AND k.database = r.database
	AND r.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database())
UNION
-- And those that have written a row of it, with or without the lock.
SELECT w.pid, w.virtualtransaction
FROM pg_catalog.pg_locks w
WHERE w.locktype = 'relation' AND w.granted AND w.mode = 'RowExclusiveLock' AND w.relation = $1::text::regclass
	AND w.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database())
