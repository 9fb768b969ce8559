-- Reads no row: a column without a value costs nothing, and a CHECK that is NOT VALID
-- goes for what is written from now on. It needs the table for itself for an instant,
-- and waits for every transaction that has it: set lock_timeout and try again rather
-- than have all others wait behind it.
--
-- A program of the first release goes on working with the table, and takes it for right:
-- it knows CHECKs by their names.
ALTER TABLE {table}
	ADD COLUMN IF NOT EXISTS retain_until timestamptz,
	ADD COLUMN IF NOT EXISTS sealed boolean NOT NULL DEFAULT false,
	DROP CONSTRAINT IF EXISTS claimed_or_answered,
	DROP CONSTRAINT IF EXISTS claim_is_not_retained,
	DROP CONSTRAINT IF EXISTS sealed_has_body,
	DROP CONSTRAINT IF EXISTS retained_after_expiry,
	ADD CONSTRAINT claimed_or_answered CHECK (num_nonnulls(response, lease_until, nullif(retain_until = expires_at, false)) = 1) NOT VALID,
	ADD CONSTRAINT claim_is_not_retained CHECK (lease_until IS NULL OR retain_until IS NULL) NOT VALID,
	ADD CONSTRAINT sealed_has_body CHECK (NOT sealed OR (response IS NOT NULL AND body IS NOT NULL)) NOT VALID,
	ADD CONSTRAINT retained_after_expiry CHECK (retain_until IS NULL OR retain_until >= expires_at) NOT VALID;
