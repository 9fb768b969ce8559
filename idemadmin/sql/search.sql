{rows}
WHERE whose.scope_log_id = $1
ORDER BY created_at DESC, key
LIMIT $2
