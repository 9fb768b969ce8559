-- Did the row come from this call? Compared as jsonb, which is how it is kept.
SELECT count(*) = 1 AS ours
FROM {table}
WHERE scope = $1 AND key = $2 AND fingerprint = $3
	AND response = $4::jsonb AND body IS NOT DISTINCT FROM $5 AND refused = $6
