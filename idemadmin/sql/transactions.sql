-- A call whose handler is at work in a transaction has the lock of its key and has read
-- the table. Who has locked or written a row is done, or is a sweeper.
SELECT count(*) AS transactions
FROM (
	SELECT k.virtualtransaction
	FROM pg_catalog.pg_locks k
	JOIN pg_catalog.pg_locks r ON r.virtualtransaction = k.virtualtransaction AND r.pid IS NOT DISTINCT FROM k.pid
	WHERE k.locktype = 'advisory' AND k.granted AND k.objsubid = 1 AND k.mode = 'ExclusiveLock'
		AND r.locktype = 'relation' AND r.granted AND r.relation = $1::text::regclass
		AND k.database = r.database
		AND r.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database())
	GROUP BY k.virtualtransaction
	HAVING bool_and(r.mode = 'AccessShareLock')
) AS working
