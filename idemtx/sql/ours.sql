-- Did the row come from this call? Compared as jsonb, which is how it is kept,
-- and alive: an expired row of the same request may hold the same reply, and is
-- not what this call has written a moment ago.
SELECT fingerprint, response, body, refused, sealed, response IS NULL AND lease_until IS NULL AS retained,
	created_at, expires_at, lease_id,
	date_part('epoch', expires_at - clock_timestamp()) AS seconds_left, false AS unconfirmed
FROM {table}
WHERE scope = $1 AND key = $2 AND fingerprint = $3
	AND response = $4::jsonb AND body IS NOT DISTINCT FROM $5 AND refused = $6
	AND expires_at > clock_timestamp()
-- As in confirm.sql: the COMMIT whose answer was lost may not have waited for its
-- synchronous standby. This one's does.
FOR KEY SHARE
