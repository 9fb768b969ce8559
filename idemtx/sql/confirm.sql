-- A COMMIT that waits for a synchronous standby can be cut off, by a cancel request,
-- the end of its backend or a restart: it shows on the primary and may never reach
-- the standby. Locking the row writes to the log behind it, so the COMMIT after this
-- waits until the standby has both.
SELECT 1
FROM {table}
WHERE scope = $1 AND key = $2
FOR KEY SHARE
