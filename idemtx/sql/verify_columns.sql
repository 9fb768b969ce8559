-- One row for each column that is not as create.sql makes it. Types are compared
-- by what they are: their names depend on the search_path.
WITH needed (position, name, type, nullable, collation_name, fallback) AS (VALUES
	(1, 'created_at', 'pg_catalog.timestamptz'::pg_catalog.regtype, false, NULL, NULL),
	(2, 'expires_at', 'pg_catalog.timestamptz', false, NULL, NULL),
	(3, 'lease_until', 'pg_catalog.timestamptz', true, NULL, NULL),
	(4, 'retain_until', 'pg_catalog.timestamptz', true, NULL, NULL),
	(5, 'lease_id', 'pg_catalog.uuid', true, NULL, NULL),
	(6, 'refused', 'pg_catalog.bool', false, NULL, 'false'),
	(7, 'sealed', 'pg_catalog.bool', false, NULL, 'false'),
	(8, 'fingerprint', 'pg_catalog.bytea', false, NULL, NULL),
	(9, 'scope', 'pg_catalog.text', false, 'C', NULL),
	(10, 'key', 'pg_catalog.text', false, 'C', NULL),
	(11, 'response', 'pg_catalog.jsonb', true, NULL, NULL),
	(12, 'body', 'pg_catalog.bytea', true, NULL, NULL)
),
found AS (
	SELECT
		a.attname::pg_catalog.text AS name,
		a.atttypid,
		a.atttypmod,
		pg_catalog.format_type(a.atttypid, a.atttypmod) AS type_name,
		a.attnotnull,
		a.atthasdef OR a.attidentity <> '' AS fills_itself,
		a.attgenerated <> '' AS generated,
		pg_catalog.pg_get_expr(d.adbin, d.adrelid) AS fallback,
		co.oid AS collation_oid,
		co.collname::pg_catalog.text AS collation_name
	FROM pg_catalog.pg_attribute a
	LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
	LEFT JOIN pg_catalog.pg_collation co ON co.oid = a.attcollation
	WHERE a.attrelid = @oid AND a.attnum > 0 AND NOT a.attisdropped
),
compared AS (
	SELECT
		needed.position,
		coalesce(needed.name, found.name) AS name,
		coalesce(found.type_name, '')
			|| CASE WHEN needed.collation_name <> '' AND found.collation_name <> ''
				THEN ' COLLATE ' || pg_catalog.quote_ident(found.collation_name) ELSE '' END AS type,
		found.name IS NULL AS missing,
		needed.name IS NULL AND found.attnotnull AND NOT found.fills_itself AS extra,
		coalesce(
			found.atttypid <> needed.type OR found.atttypmod <> -1
			OR (needed.collation_name IS NOT NULL
				AND found.collation_oid IS DISTINCT FROM 'pg_catalog."C"'::pg_catalog.regcollation),
			false
		) AS wrong_type,
		coalesce(found.attnotnull AND needed.nullable, false) AS refuses_null,
		coalesce(NOT found.attnotnull AND NOT needed.nullable, false) AS accepts_null,
		coalesce(found.generated AND needed.name IS NOT NULL, false) AS generated,
		coalesce(needed.fallback <> coalesce(found.fallback, ''), false) AND found.name IS NOT NULL AS wrong_default
	FROM needed FULL JOIN found ON found.name = needed.name
)
SELECT name, type, missing, extra, wrong_type, refuses_null, accepts_null, generated, wrong_default
FROM compared
WHERE missing OR extra OR wrong_type OR refuses_null OR accepts_null OR generated OR wrong_default
ORDER BY position, name
