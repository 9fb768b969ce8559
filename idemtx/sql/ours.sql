-- Did the row come from this call? Compared as jsonb, which is how it is kept,
-- and alive: an expired row of the same request may hold the same reply, and is
-- not what this call has written a moment ago.
SELECT created_at, expires_at
FROM {table}
WHERE scope = $1 AND key = $2 AND fingerprint = $3
	AND response = $4::jsonb AND body IS NOT DISTINCT FROM $5 AND refused = $6
	AND expires_at > clock_timestamp()
