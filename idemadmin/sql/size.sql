SELECT
	coalesce(sum(pg_catalog.pg_table_size(part.oid)), 0)::bigint AS table_bytes,
	coalesce(sum(pg_catalog.pg_indexes_size(part.oid)), 0)::bigint AS index_bytes
FROM (
{parts}
) AS part
