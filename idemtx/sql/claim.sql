-- The locks are those of lock.sql: a co-transaction on this key is in flight
-- while it holds them, and then nothing is claimed.
INSERT INTO {table} AS existing (scope, key, fingerprint, lease_id, lease_until, created_at, expires_at)
SELECT $1, $2, $3, $4::uuid, now + $5::bigint * interval '1 microsecond',
	now, now + $6::bigint * interval '1 microsecond'
FROM (SELECT clock_timestamp() AS now) AS clock
-- ON CONFLICT locks a live row before it lets it be, and that is written to the log.
WHERE NOT EXISTS (
	SELECT FROM {table} AS live
	WHERE live.scope = $1 AND live.key = $2 AND coalesce(live.lease_until, live.expires_at) > clock_timestamp()
		AND NOT ($9::boolean AND num_nonnulls(live.response, live.lease_until) = 0)
) AND CASE WHEN pg_try_advisory_xact_lock_shared($8::bigint)
	THEN pg_try_advisory_xact_lock($7::bigint) ELSE false END
ON CONFLICT (scope, key) DO UPDATE SET
	fingerprint = excluded.fingerprint, response = NULL, body = NULL, refused = false, sealed = false,
	lease_id = excluded.lease_id, lease_until = excluded.lease_until,
	created_at = excluded.created_at, expires_at = excluded.expires_at, retain_until = NULL
-- A new lease_id fences the old holder: whatever it writes later finds no row.
WHERE (coalesce(existing.lease_until, existing.expires_at) <= clock_timestamp()
		OR num_nonnulls(existing.response, existing.lease_until) = 0)
	AND ($9::boolean OR existing.lease_until IS NOT NULL)
-- For the tracer: whether it was a claim that has died, as this statement has found it.
RETURNING coalesce((SELECT old.lease_until IS NOT NULL FROM {table} AS old
	WHERE old.scope = $1 AND old.key = $2), false) AS took_over
