-- What the last VACUUM or ANALYZE has left, -1 where there was none. A partitioned table
-- has no rows of its own, and its partitions are one level below it.
SELECT
	coalesce(sum(greatest(reltuples, 0)), 0)::bigint AS rows,
	coalesce(sum(pg_catalog.pg_total_relation_size(oid)), 0)::bigint AS bytes
FROM pg_catalog.pg_class
WHERE relkind <> 'p' AND (
	oid = $1::text::regclass
	OR oid IN (SELECT inhrelid FROM pg_catalog.pg_inherits WHERE inhparent = $1::text::regclass))
