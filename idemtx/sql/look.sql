-- A statement of its own, after the one that takes the lock: under READ
-- COMMITTED its snapshot is taken later, so it sees what the last holder wrote.
SELECT fingerprint, response, body, refused, created_at, expires_at, lease_id,
	-- A claim dies with its lease, an answer when it expires. Equality is dead,
	-- here and in every other statement, so that no instant is neither.
	coalesce(lease_until, expires_at) > clock_timestamp() AS live,
	extract(epoch FROM lease_until - clock_timestamp())::float8 AS lease_left
FROM {table}
WHERE scope = $1 AND key = $2
