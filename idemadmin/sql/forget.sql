DELETE FROM {table}
WHERE scope = $1 AND key = $2
	-- A live claim is somebody's who is at work.
	AND (lease_until IS NULL OR lease_until <= clock_timestamp())
