-- What ends the transaction is on the wire behind this, so a reply that is not
-- stored must be an error, or the work is done without it. Hence no ON CONFLICT.
WITH stored AS (
{insert}
	RETURNING created_at, expires_at
)
SELECT max(created_at) AS created_at, max(expires_at) AS expires_at FROM stored
-- A trigger can swallow a row without a word. Then this divides by zero.
HAVING 1 / count(*) = 1
