DELETE FROM {table}
WHERE scope = $1 AND key = $2
	-- What was written since nobody had the key's lock is another request's.
	AND created_at <= $3
	-- A live claim is somebody's who is at work.
	AND (lease_until IS NULL OR lease_until <= clock_timestamp())
