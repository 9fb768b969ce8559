-- A row, live or not, keeps the work behind this from being done. What it means, the
-- row that look.sql has returned in front of this tells.
SELECT CASE WHEN EXISTS (SELECT FROM {table} WHERE scope = $1 AND key = $2)
	THEN 'idemtx: the key has been used' ELSE 'true' END::boolean
