SELECT
	pg_catalog.format('%I.%I', part.nspname, part.relname) AS name,
	coalesce(st.n_live_tup, 0) AS live,
	coalesce(st.n_dead_tup, 0) AS dead,
	greatest(st.last_autovacuum, st.last_vacuum) AS last,
	current_setting('autovacuum') = 'off' OR EXISTS (
		SELECT FROM pg_catalog.pg_options_to_table(part.reloptions)
		WHERE option_name = 'autovacuum_enabled' AND NOT option_value::boolean
	) AS disabled
FROM (
{parts}
) AS part
LEFT JOIN pg_catalog.pg_stat_all_tables st ON st.relid = part.oid
ORDER BY 1
