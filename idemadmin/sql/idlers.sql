SELECT a.pid, date_part('epoch', clock_timestamp() - a.state_change) AS seconds
FROM (
{keyholders}
) AS h
JOIN pg_catalog.pg_stat_activity a ON a.pid = h.pid
WHERE a.state LIKE 'idle in transaction%'
	AND clock_timestamp() - a.state_change >= $2::float8 * interval '1 second'
ORDER BY seconds DESC
LIMIT 100
