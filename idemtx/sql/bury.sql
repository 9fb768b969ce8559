-- Makes room for a new row. Still dead: it may have been replaced since.
DELETE FROM {table}
WHERE scope = $1 AND key = $2
	AND coalesce(lease_until, expires_at) <= clock_timestamp()
	-- An expired answer stays when it is to be refused; a dead claim never does.
	AND ($3::boolean OR response IS NULL)
