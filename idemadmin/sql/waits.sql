SELECT a.pid, date_part('epoch', clock_timestamp() - coalesce(l.waitstart, a.query_start)) AS seconds,
	pg_catalog.pg_blocking_pids(a.pid) AS blockers
FROM pg_catalog.pg_locks l
JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid
WHERE NOT l.granted AND a.datname = current_database() AND a.wait_event_type = 'Lock'
	AND CASE l.locktype
		-- For the lock of a key, or of the fingerprint before it, by the statements that
		-- idemtx waits with. Of which table it is the lock does not tell.
		WHEN 'advisory' THEN l.objsubid = 1 AND (
			a.query IN ('SELECT pg_advisory_xact_lock_shared($1::bigint)', 'SELECT pg_advisory_xact_lock($1::bigint)')
			-- In the simple protocol all that is sent at a time is one text.
			OR a.query LIKE 'SELECT set\_config(''lock\_timeout''%pg\_advisory\_xact\_lock%'
		)
		-- For a key's row, which a transaction has written without the lock, as PutTx does.
		-- Of a text, the server shows no more than track_activity_query_size.
		WHEN 'transactionid' THEN strpos(a.query, $2) > 0
	END
	AND clock_timestamp() - coalesce(l.waitstart, a.query_start) >= $1::float8 * interval '1 second'
ORDER BY seconds DESC
LIMIT 100
