SELECT c.oid, c.relname, n.nspname, c.reltuples, c.reloptions
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
-- A partitioned table has nothing of its own, and one without partitions is in no tree.
WHERE c.relkind = 'r' AND (c.oid = $1::text::regclass
	OR c.oid IN (SELECT relid FROM pg_catalog.pg_partition_tree($1::text::regclass)))
