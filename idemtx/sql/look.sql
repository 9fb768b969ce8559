-- A statement of its own, after the one that takes the lock: under READ
-- COMMITTED its snapshot is taken later, so it sees what the last holder wrote.
SELECT fingerprint, response, body, refused, sealed, response IS NULL AND lease_until IS NULL AS retained,
	created_at, expires_at, lease_id,
	-- A claim dies with its lease, an answer when it expires. With nothing left it is
	-- dead, here and in every other statement, so that no instant is neither.
	date_part('epoch', coalesce(lease_until, expires_at) - clock_timestamp()) AS seconds_left,
	-- Whoever passes it on has to make sure that the standby has it: confirm.sql.
	current_setting('synchronous_standby_names') <> ''
		AND current_setting('transaction_read_only') = 'off' AS unconfirmed
FROM {table}
WHERE scope = $1 AND key = $2
