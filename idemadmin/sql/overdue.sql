-- What sweep.sql of idemtx would take first.
SELECT expires_at AS expired_at, date_part('epoch', clock_timestamp() - expires_at) AS seconds
FROM {table}
WHERE expires_at <= (SELECT clock_timestamp())
	AND (lease_until IS NULL OR lease_until <= clock_timestamp())
ORDER BY expires_at
LIMIT 1
