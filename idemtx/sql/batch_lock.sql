-- The locks of lock.sql, for a pipeline that has the work on the wire behind them:
-- without them this must be an error, whose text is for the server's log.
SELECT CASE WHEN CASE WHEN pg_try_advisory_xact_lock_shared($2::bigint)
			THEN pg_try_advisory_xact_lock($1::bigint) ELSE false END
		-- It ends with the transaction, by which batch_store.sql knows this one.
		THEN set_config('idemtx.batch', 'true', true)
		ELSE 'idemtx: another request has the key' END::boolean,
	current_setting('transaction_isolation') IN ('repeatable read', 'serializable') AS snapshot_lasts
