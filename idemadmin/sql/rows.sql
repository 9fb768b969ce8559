SELECT
	verdict.state,
	-- The end of what has expired. Of a row whose reply was taken away nobody knows it.
	CASE WHEN verdict.state <> 'expired' THEN created_at
		WHEN lease_until IS NOT NULL THEN lease_until
		WHEN response IS NOT NULL THEN expires_at END AS since,
	fingerprint, created_at, expires_at, lease_until, retain_until,
	-- As stored: nothing is read for it but the row itself.
	(coalesce(pg_column_size(response), 0) + coalesce(pg_column_size(body), 0))::bigint AS bytes,
	sealed,
	coalesce(CASE WHEN sealed THEN response #>> '{}' END, '') AS key_id,
	whose.scope_log_id,
	-- The whole key does not leave the server.
	CASE WHEN length(key) > 8 THEN left(key, 8) ELSE '****' END AS redacted_key
FROM {table},
	(SELECT clock_timestamp() AS now) AS clock,
	LATERAL (SELECT CASE
		WHEN lease_until > clock.now THEN 'in_flight'
		WHEN response IS NULL OR expires_at <= clock.now THEN 'expired'
		WHEN refused THEN 'refused'
		ELSE 'answered'
	END AS state) AS verdict,
	-- As scope.LogID has it.
	LATERAL (SELECT 'sha256:' || left(encode(sha256(convert_to(scope, 'UTF8')), 'hex'), 12) AS scope_log_id) AS whose
