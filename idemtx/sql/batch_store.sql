-- The last statement of the work, and its one row as the reply. COMMIT is on the wire
-- behind this, so whatever is not stored must be an error.
WITH reply AS (
{work}
),
stored AS (
	INSERT INTO {table} (scope, key, fingerprint, response, lease_id, created_at, expires_at, retain_until)
	SELECT {scope}, {key}, {fingerprint},
		-- reply.* is the row, also when it has a column named reply.
		-- NULL, which claimed_or_answered refuses, when there is no row or it is too
		-- long. More than one row is an error of its own.
		(SELECT CASE WHEN octet_length(to_jsonb(reply.*)::text) <= {max_bytes} THEN to_jsonb(reply.*) END
			FROM reply),
		-- No lease: it tells this call's row from another's (ours.sql).
		{id}::uuid,
		now, now + {ttl}::bigint * interval '1 microsecond',
		now + {until}::bigint * interval '1 microsecond'
	FROM (SELECT clock_timestamp() AS now) AS clock
	WHERE CASE WHEN current_setting('idemtx.batch', true) = 'true' THEN 'true'
		ELSE 'idemtx: the work has ended the transaction' END::boolean
	RETURNING response, created_at, expires_at
)
SELECT stored.response, stored.created_at, stored.expires_at
FROM (SELECT count(*) AS rows FROM stored) AS counted LEFT JOIN stored ON true
-- A trigger can swallow a row without a word. Then this divides by zero.
WHERE 1 / counted.rows = 1
