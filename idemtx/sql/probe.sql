-- Is the key held by the same request? Nobody takes the key's lock without the
-- shared lock on its fingerprint. Having that one exclusively here means that
-- no other call has this fingerprint now, nor can until this transaction ends:
-- if the key is held all the same, its holder differs.
SELECT CASE WHEN NOT pg_try_advisory_xact_lock($2::bigint) THEN 'same'
	WHEN NOT pg_try_advisory_xact_lock($1::bigint) THEN 'different'
	ELSE 'free' END AS holder
