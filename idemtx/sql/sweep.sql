DELETE FROM {table}
WHERE (scope, key) IN (
	SELECT scope, key FROM {table}
	WHERE expires_at <= clock_timestamp()
		-- A handler may run for longer than its reply would be kept.
		AND (lease_until IS NULL OR lease_until <= clock_timestamp())
	ORDER BY expires_at
	LIMIT $1
	-- Another sweeper has it, or a request is replacing it.
	FOR UPDATE SKIP LOCKED
)
