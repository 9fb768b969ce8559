-- The last statement of the work, and its one row as the reply, to be stored by another.
-- MATERIALIZED: the end of the transaction is noticed in front of a row that is not there.
WITH reply AS MATERIALIZED (
{work}
)
SELECT to_jsonb(reply.*) AS response FROM reply
WHERE CASE WHEN current_setting('idemtx.batch', true) = 'true' THEN 'true'
	ELSE 'idemtx: the work has ended the transaction' END::boolean
