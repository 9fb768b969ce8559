-- Under $2, a lock of all sweepers, this is one of them at most; NULL is none.
WITH turn AS MATERIALIZED (
	SELECT coalesce(pg_try_advisory_xact_lock($2::bigint), true) AS ours
),
-- MATERIALIZED: the rows are chosen once. As a subquery of the DELETE they would
-- be chosen again for each row under some plans, and the limit would not hold.
dead AS MATERIALIZED (
	SELECT scope, key, retain_until, response IS NOT NULL AND retain_until > clock_timestamp() AS retained
	FROM {table}
	-- A sub-select, because a volatile function is no condition for an index: without
	-- it every live row is read.
	WHERE expires_at <= (SELECT clock_timestamp())
		-- A handler may run for longer than its reply would be kept.
		AND (lease_until IS NULL OR lease_until <= clock_timestamp())
		AND (SELECT ours FROM turn)
	ORDER BY expires_at
	LIMIT $1
	-- Another sweeper has it, or a request is replacing it.
	FOR UPDATE SKIP LOCKED
),
-- The reply goes and the key stays, to be deleted at the end of its retention. Without
-- its lease_id a save that comes late does not find it.
buried AS (
	UPDATE {table} AS kept SET response = NULL, body = NULL, refused = false, sealed = false,
		lease_id = NULL, expires_at = dead.retain_until
	FROM dead
	WHERE dead.retained AND kept.scope = dead.scope AND kept.key = dead.key
	RETURNING 1
),
swept AS (
	DELETE FROM {table} AS swept USING dead
	WHERE dead.retained IS NOT TRUE AND swept.scope = dead.scope AND swept.key = dead.key
	RETURNING 1
)
SELECT turn.ours, (SELECT count(*) FROM swept) AS deleted, (SELECT count(*) FROM buried) AS buried
FROM turn
