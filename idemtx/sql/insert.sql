INSERT INTO {table} (scope, key, fingerprint, response, body, refused, sealed, created_at, expires_at, retain_until)
SELECT $1, $2, $3, $4::jsonb, $5, $6, $9,
	-- NULL, which the column refuses, when the transaction that took the lock
	-- was ended by the handler and this is another one.
	CASE WHEN transaction_timestamp() = coalesce($8::timestamptz, transaction_timestamp()) THEN now END,
	now + $7::bigint * interval '1 microsecond',
	-- NULL, as is $10, when nothing is retained.
	now + $10::bigint * interval '1 microsecond'
-- The clock is read once, and not at the transaction's start as now() is.
FROM (SELECT clock_timestamp() AS now) AS clock
