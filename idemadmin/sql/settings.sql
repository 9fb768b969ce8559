-- In their base units, which for times is milliseconds.
SELECT name, setting FROM pg_catalog.pg_settings
WHERE name IN ('server_version', 'server_version_num', 'fsync', 'full_page_writes', 'synchronous_commit',
	'synchronous_standby_names', 'idle_in_transaction_session_timeout', 'transaction_timeout', 'statement_timeout',
	'lock_timeout', 'default_transaction_isolation', 'default_transaction_read_only', 'autovacuum')
UNION ALL SELECT 'in recovery', pg_catalog.pg_is_in_recovery()::text
UNION ALL SELECT 'role', pg_catalog.quote_ident(current_user)
