-- What sweep.sql of idemtx would take, by the index it reads.
SELECT count(*)
FROM {table}
WHERE expires_at <= (SELECT clock_timestamp())
	AND (lease_until IS NULL OR lease_until <= clock_timestamp())
