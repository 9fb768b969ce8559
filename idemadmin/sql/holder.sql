-- Who holds the lock on a key. Its 64 bits are in two columns.
SELECT coalesce(l.pid, 0) AS pid, coalesce(a.xact_start, p.prepared) AS since, coalesce(p.gid, '') AS prepared
FROM pg_catalog.pg_locks l
LEFT JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid
-- A prepared transaction has no backend. Its number is in the lock on itself.
LEFT JOIN pg_catalog.pg_locks x ON l.pid IS NULL AND x.pid IS NULL AND x.virtualtransaction = l.virtualtransaction
	AND x.locktype = 'transactionid' AND x.mode = 'ExclusiveLock' AND x.granted
LEFT JOIN pg_catalog.pg_prepared_xacts p ON p.transaction = x.transactionid
WHERE l.locktype = 'advisory'
	AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database())
	AND (l.classid::bigint << 32 | l.objid::bigint) = $1 AND l.objsubid = 1
	AND l.granted AND l.mode = 'ExclusiveLock'
