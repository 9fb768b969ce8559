SELECT kind, age, key_id, count(*) AS rows, sum(bytes)::bigint AS bytes, min(expires_at) AS expired
FROM (
	SELECT
		CASE
			WHEN lease_until > clock.now THEN 'in_flight'
			WHEN expires_at <= clock.now THEN 'due'
			WHEN lease_until IS NOT NULL THEN 'abandoned'
			WHEN response IS NULL THEN 'retained'
			WHEN refused THEN 'refused'
			ELSE 'answered'
		END AS kind,
		width_bucket(date_part('epoch', clock.now - created_at), $1::float8[]) AS age,
		CASE WHEN sealed THEN response #>> '{}' END AS key_id,
		coalesce(pg_column_size(response), 0) + coalesce(pg_column_size(body), 0) AS bytes,
		expires_at
	FROM {table}, (SELECT clock_timestamp() AS now) AS clock
) AS counted
GROUP BY kind, age, key_id
