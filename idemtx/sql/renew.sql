UPDATE {table} SET lease_until = clock_timestamp() + $4::bigint * interval '1 microsecond'
-- Also when the lease has run out: nobody has taken the key over yet.
WHERE scope = $1 AND key = $2 AND lease_id = $3::uuid AND response IS NULL
