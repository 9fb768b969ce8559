-- One row, whether the table is there or not: all that is not about one column.
SELECT
	pg_catalog.current_setting('server_version_num')::pg_catalog.int4 AS server_version,
	current_user AS role,
	n.oid IS NOT NULL AS has_schema,
	coalesce(NOT pg_catalog.has_schema_privilege(n.oid, 'USAGE'), false) AS without_usage,
	coalesce(c.oid, 0) AS oid,
	-- The word that goes between ALTER and the name.
	CASE c.relkind
		WHEN 'r' THEN 'TABLE'
		WHEN 'p' THEN 'TABLE'
		WHEN 'v' THEN 'VIEW'
		WHEN 'm' THEN 'MATERIALIZED VIEW'
		WHEN 'f' THEN 'FOREIGN TABLE'
		WHEN 'S' THEN 'SEQUENCE'
		WHEN 'c' THEN 'TYPE'
		WHEN 'i' THEN 'INDEX'
		WHEN 'I' THEN 'INDEX'
		ELSE ''
	END AS kind,
	coalesce(c.relkind = 'p', false) AS partitioned,
	coalesce(hashed.found, false) AS hash_partitioned,
	coalesce(hashed.moduli, '{}') AS moduli,
	coalesce(hashed.remainders, '{}') AS remainders,
	-- A partitioned table has no rows of its own; its partitions are logged or not.
	ARRAY(
		SELECT pg_catalog.format('%I.%I', ln.nspname, l.relname)
		FROM pg_catalog.pg_class l
		JOIN pg_catalog.pg_namespace ln ON ln.oid = l.relnamespace
		WHERE l.relkind = 'r' AND l.relpersistence = 'u'
			AND (l.oid = c.oid OR l.oid IN (SELECT relid FROM pg_catalog.pg_partition_tree(c.oid)))
		ORDER BY 1
	) AS unlogged,
	coalesce(pg_catalog.row_security_active(c.oid), false) AS row_security,
	ARRAY(
		SELECT privilege
		FROM (VALUES ('SELECT'), ('INSERT'), ('UPDATE'), ('DELETE')) AS needed (privilege)
		WHERE NOT pg_catalog.has_table_privilege(c.oid, privilege)
	) AS without_privileges,
	coalesce(pk.conname, '') AS primary_key,
	ARRAY(
		SELECT a.attname
		FROM pg_catalog.unnest(pk.conkey) WITH ORDINALITY AS k (attnum, position)
		JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.attnum
		ORDER BY k.position
	) AS primary_key_columns,
	coalesce(pk.condeferrable, false) AS primary_key_deferrable,
	coalesce(pki.indisvalid, false) AS primary_key_valid,
	ARRAY(SELECT conname FROM pg_catalog.pg_constraint WHERE conrelid = c.oid AND contype = 'c') AS checks,
	-- That of the first release has the name, and does not know the column.
	EXISTS (
		SELECT FROM pg_catalog.pg_constraint k
		WHERE k.conrelid = c.oid AND k.contype = 'c' AND k.conname = 'claimed_or_answered' AND NOT EXISTS (
			SELECT FROM pg_catalog.pg_attribute a
			WHERE a.attrelid = c.oid AND a.attname = 'retain_until' AND a.attnum = ANY (k.conkey)
		)
	) AS old_claim_check,
	ARRAY(SELECT conname FROM pg_catalog.pg_constraint WHERE conrelid = c.oid AND NOT convalidated) AS not_valid,
	coalesce(sweep.relname, '') AS sweep_index,
	coalesce(sweep.partial, false) AS sweep_index_partial,
	coalesce(sweep.indisvalid, false) AS sweep_index_valid,
	coalesce(partitions.without_index, '{}') AS partitions_without_index,
	coalesce(partitions.invalid_indexes, '{}') AS partitions_invalid_indexes
FROM (VALUES (@schema, @table)) AS wanted (schema_name, table_name)
LEFT JOIN pg_catalog.pg_namespace n ON n.nspname = wanted.schema_name
LEFT JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = wanted.table_name
LEFT JOIN pg_catalog.pg_constraint pk ON pk.conrelid = c.oid AND pk.contype = 'p'
LEFT JOIN pg_catalog.pg_index pki ON pki.indexrelid = pk.conindid
-- A row has no place whose remainder is none of these.
LEFT JOIN LATERAL (
	SELECT
		true AS found,
		array_agg(bound.parts[1]::pg_catalog.int4 ORDER BY part.oid) FILTER (WHERE bound.parts IS NOT NULL) AS moduli,
		array_agg(bound.parts[2]::pg_catalog.int4 ORDER BY part.oid) FILTER (WHERE bound.parts IS NOT NULL) AS remainders
	FROM pg_catalog.pg_partitioned_table pt
	LEFT JOIN pg_catalog.pg_inherits h ON h.inhparent = pt.partrelid
	LEFT JOIN pg_catalog.pg_class part ON part.oid = h.inhrelid
	LEFT JOIN LATERAL pg_catalog.regexp_match(
		pg_catalog.pg_get_expr(part.relpartbound, part.oid), 'modulus (\d+), remainder (\d+)'
	) AS bound (parts) ON true
	WHERE pt.partrelid = c.oid AND pt.partstrat = 'h'
	GROUP BY pt.partrelid
) hashed ON true
-- The best index that begins with expires_at. Its name does not matter.
LEFT JOIN LATERAL (
	SELECT x.relname, i.indisvalid, i.indpred IS NOT NULL AS partial
	FROM pg_catalog.pg_index i
	JOIN pg_catalog.pg_class x ON x.oid = i.indexrelid
	JOIN pg_catalog.pg_am am ON am.oid = x.relam
	JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
	WHERE i.indrelid = c.oid AND a.attname = 'expires_at' AND am.amname = 'btree'
	ORDER BY i.indpred IS NOT NULL, NOT i.indisvalid
	LIMIT 1
) sweep ON true
-- What an index of the partitioned table can be made of: those that its partitions have
-- and that are no part of one of its own. It takes one that is not valid as well, and is
-- not valid then.
LEFT JOIN LATERAL (
	SELECT
		array_agg(pg_catalog.format('%I.%I', ln.nspname, l.relname) ORDER BY l.oid) FILTER (WHERE own.name IS NULL) AS without_index,
		array_agg(own.name ORDER BY l.oid) FILTER (WHERE NOT own.indisvalid) AS invalid_indexes
	FROM pg_catalog.pg_partition_tree(c.oid) AS tree
	JOIN pg_catalog.pg_class l ON l.oid = tree.relid
	JOIN pg_catalog.pg_namespace ln ON ln.oid = l.relnamespace
	LEFT JOIN LATERAL (
		SELECT pg_catalog.format('%I.%I', ln.nspname, x.relname) AS name, i.indisvalid
		FROM pg_catalog.pg_index i
		JOIN pg_catalog.pg_class x ON x.oid = i.indexrelid
		JOIN pg_catalog.pg_am am ON am.oid = x.relam
		JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
		LEFT JOIN pg_catalog.pg_index top ON top.indexrelid = pg_catalog.pg_partition_root(x.oid)
		WHERE i.indrelid = l.oid AND a.attname = 'expires_at' AND am.amname = 'btree' AND i.indnatts = 1
			AND i.indpred IS NULL AND i.indoption[0] = 0 AND top.indrelid IS DISTINCT FROM c.oid
	) own ON true
	WHERE tree.isleaf AND l.relkind = 'r' AND l.oid <> c.oid
) partitions ON true
