-- First the fingerprint's lock, shared, then the key's own: whoever holds the
-- key's lock has held that of its fingerprint before, so that one who finds the
-- former taken and the latter free knows that the holder differs (probe.sql).
-- CASE, because a SELECT list has no order of evaluation. The first lock is
-- refused only while a prober has it, and the key's own is taken then.
SELECT CASE WHEN pg_try_advisory_xact_lock_shared($2::bigint)
		THEN pg_try_advisory_xact_lock($1::bigint) ELSE false END AS held,
	-- Tells this transaction from the one that a handler might put in its place.
	transaction_timestamp() AS begun_at,
	current_setting('lock_timeout') AS lock_timeout,
	-- If so, all statements have the snapshot of this one, which is older than the lock.
	current_setting('transaction_isolation') IN ('repeatable read', 'serializable') AS snapshot_lasts
