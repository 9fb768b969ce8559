-- ours.sql for a reply that the server has made, and that nobody has seen.
SELECT fingerprint, response, body, refused, sealed, response IS NULL AND lease_until IS NULL AS retained,
	created_at, expires_at, lease_id,
	date_part('epoch', expires_at - clock_timestamp()) AS seconds_left, false AS unconfirmed
FROM {table}
WHERE scope = $1 AND key = $2 AND lease_id = $3::uuid
	AND expires_at > clock_timestamp()
FOR KEY SHARE
