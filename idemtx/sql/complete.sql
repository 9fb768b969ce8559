-- lease_id stays, so that the same save can be sent again when the answer to
-- it was lost.
UPDATE {table} SET response = $4::jsonb, body = $5, refused = $6, lease_until = NULL,
	created_at = now, expires_at = now + $7::bigint * interval '1 microsecond'
FROM (SELECT clock_timestamp() AS now) AS clock
WHERE scope = $1 AND key = $2 AND lease_id = $3::uuid
RETURNING created_at, expires_at
