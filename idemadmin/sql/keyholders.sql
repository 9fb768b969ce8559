SELECT k.pid, k.virtualtransaction
FROM (
{keylocks}
) AS k
UNION
-- And those that have written a row of the table, with or without the lock.
SELECT w.pid, w.virtualtransaction
FROM pg_catalog.pg_locks w
WHERE w.locktype = 'relation' AND w.granted AND w.mode = 'RowExclusiveLock' AND w.relation = $1::text::regclass
	AND w.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database())
