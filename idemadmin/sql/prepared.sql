SELECT pg_catalog.quote_literal(p.gid) AS literal, date_part('epoch', clock_timestamp() - p.prepared) AS seconds
FROM (
{keyholders}
) AS h
-- A prepared transaction has no backend. Its number is in the lock on itself.
JOIN pg_catalog.pg_locks x ON h.pid IS NULL AND x.pid IS NULL AND x.virtualtransaction = h.virtualtransaction
	AND x.locktype = 'transactionid' AND x.mode = 'ExclusiveLock' AND x.granted
JOIN pg_catalog.pg_prepared_xacts p ON p.transaction = x.transactionid
WHERE clock_timestamp() - p.prepared >= $2::float8 * interval '1 second'
ORDER BY seconds DESC
LIMIT 100
