-- A call whose handler is at work in a transaction has the lock of its key, and has
-- locked and written no row: who has is done, or is a sweeper.
SELECT count(*) AS transactions
FROM (
	SELECT k.virtualtransaction
	FROM (
{keylocks}
	) AS k
	GROUP BY k.virtualtransaction
	HAVING NOT bool_or(k.mode IN ('RowShareLock', 'RowExclusiveLock'))
) AS working
