-- lease_id stays, so that the same save can be sent again when the answer to
-- it was lost. Whichever comes second, perhaps long after the caller has got its
-- answer, leaves the times as they were told.
UPDATE {table} AS kept SET response = $4::jsonb, body = $5, refused = $6, sealed = $8, lease_until = NULL,
	created_at = CASE WHEN kept.response IS NULL THEN now ELSE kept.created_at END,
	expires_at = CASE WHEN kept.response IS NULL
		THEN now + $7::bigint * interval '1 microsecond' ELSE kept.expires_at END,
	retain_until = CASE WHEN kept.response IS NULL
		THEN now + $9::bigint * interval '1 microsecond' ELSE kept.retain_until END
FROM (SELECT clock_timestamp() AS now) AS clock
WHERE scope = $1 AND key = $2 AND lease_id = $3::uuid
RETURNING created_at, expires_at
