-- Makes room for a new row. Still dead, or retained for nobody: it may have been replaced since.
DELETE FROM {table}
WHERE scope = $1 AND key = $2
	AND (coalesce(lease_until, expires_at) <= clock_timestamp() OR num_nonnulls(response, lease_until) = 0)
	-- What has expired stays when it is to be refused; a dead claim never does.
	AND ($3::boolean OR lease_until IS NOT NULL)
