-- One creation at a time in this database: IF NOT EXISTS does not see what
-- another transaction is about to commit, and fails on it. The lock ends with
-- the transaction.
SELECT pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended('idemtx: create schema', 0));

