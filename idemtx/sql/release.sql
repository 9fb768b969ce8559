DELETE FROM {table}
WHERE scope = $1 AND key = $2 AND lease_id = $3::uuid AND response IS NULL
