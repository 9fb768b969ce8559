SELECT
	'sha256:' || left(encode(sha256(convert_to(scope, 'UTF8')), 'hex'), 12) AS scope_log_id,
	CASE WHEN length(key) > 8 THEN left(key, 8) ELSE '****' END AS key,
	created_at AS since,
	lease_until
FROM {table} AS claim
WHERE lease_until > clock_timestamp()
ORDER BY claim.created_at, claim.key
LIMIT $1
