INSERT INTO {table} (scope, key, fingerprint, response, body, refused, created_at, expires_at)
SELECT $1, $2, $3, $4::jsonb, $5, $6,
	-- NULL, which the column refuses, when the transaction that took the lock
	-- was ended by the handler and this is another one.
	CASE WHEN transaction_timestamp() = coalesce($8::timestamptz, transaction_timestamp()) THEN now END,
	now + $7::bigint * interval '1 microsecond'
-- The clock is read once, and not at the transaction's start as now() is.
FROM (SELECT clock_timestamp() AS now) AS clock
