SELECT
	pg_catalog.format('%I.%I', n.nspname, x.relname) AS name,
	pg_catalog.pg_relation_size(x.oid) AS bytes,
	part.reltuples::float8 AS rows,
	-- A line pointer, a header, and the columns, to the next multiple of eight.
	4 + 8 * ceil((8 + coalesce(entry.width, 0)) / 8.0)::float8 AS per_row,
	coalesce(entry.unknown, true) AS unknown
FROM (
{parts}
) AS part
JOIN pg_catalog.pg_index i ON i.indrelid = part.oid
JOIN pg_catalog.pg_class x ON x.oid = i.indexrelid
JOIN pg_catalog.pg_namespace n ON n.oid = x.relnamespace
LEFT JOIN LATERAL (
	SELECT sum(st.avg_width) AS width, bool_or(st.avg_width IS NULL) AS unknown
	FROM pg_catalog.pg_attribute a
	LEFT JOIN pg_catalog.pg_stats st
		ON st.schemaname = part.nspname AND st.tablename = part.relname AND st.attname = a.attname
	WHERE a.attrelid = part.oid AND a.attnum = ANY (i.indkey)
) AS entry ON true
ORDER BY 1
