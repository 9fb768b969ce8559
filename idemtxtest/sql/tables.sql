-- The tables whose rows are effects. A partition belongs to its parent, and what
-- is temporary is another session's.
SELECT n.nspname::text AS schema, c.relname::text AS name, c.relkind = 'p' AS partitioned,
	-- NULL of a table that was dropped a moment ago.
	coalesce(has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT'), false) AS readable,
	ARRAY(SELECT a.attname::text FROM pg_attribute a
		WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum) AS columns,
	ARRAY(SELECT a.attname::text FROM pg_attribute a
		WHERE a.attrelid = c.oid AND a.attnum > 0 AND a.atttypid = 'float8'::regtype) AS doubles,
	ARRAY(SELECT a.attname::text FROM pg_attribute a
		WHERE a.attrelid = c.oid AND a.attnum > 0 AND a.atttypid = 'float4'::regtype) AS reals,
	-- What tells a row that was changed from two: the primary key, or another.
	ARRAY(SELECT a.attname::text FROM pg_index i JOIN pg_attribute a
			ON a.attrelid = c.oid AND a.attnum = ANY ((i.indkey::int2[])[0:i.indnkeyatts - 1])
		WHERE i.indexrelid = (SELECT u.indexrelid FROM pg_index u
			WHERE u.indrelid = c.oid AND u.indisunique AND u.indpred IS NULL AND u.indexprs IS NULL
			ORDER BY u.indisprimary DESC, u.indexrelid LIMIT 1)
		ORDER BY a.attname) AS key
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relpersistence <> 't'
	AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'
ORDER BY 1, 2
