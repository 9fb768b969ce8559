-- MATERIALIZED: the rows are chosen once. As a subquery of the DELETE they would
-- be chosen again for each row under some plans, and the limit would not hold.
WITH dead AS MATERIALIZED (
	SELECT scope, key FROM {table}
	-- A sub-select, because a volatile function is no condition for an index: without
	-- it every live row is read.
	WHERE expires_at <= (SELECT clock_timestamp())
		-- A handler may run for longer than its reply would be kept.
		AND (lease_until IS NULL OR lease_until <= clock_timestamp())
	ORDER BY expires_at
	LIMIT $1
	-- Another sweeper has it, or a request is replacing it.
	FOR UPDATE SKIP LOCKED
)
DELETE FROM {table} AS swept USING dead
WHERE swept.scope = dead.scope AND swept.key = dead.key
