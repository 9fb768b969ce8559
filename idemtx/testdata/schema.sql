-- Whose keys, which request, and its reply. Columns are ordered by alignment:
-- eight bytes first, variable length last.
--
-- A table that is there already is left as it is; VerifySchema finds out whether
-- it is the right one.
CREATE TABLE IF NOT EXISTS "public"."idemtx_replies" (
	created_at   timestamptz NOT NULL,
	expires_at   timestamptz NOT NULL,
	lease_until  timestamptz,
	-- Until when the key of an expired reply is refused.
	retain_until timestamptz,
	lease_id     uuid,
	refused      boolean NOT NULL DEFAULT false,
	-- The body is response and body, encrypted, and response names the key to them.
	sealed       boolean NOT NULL DEFAULT false,
	fingerprint  bytea NOT NULL,
	-- "C": a locale must never fold two tenants, or two keys, into one.
	scope        text COLLATE "C" NOT NULL,
	key          text COLLATE "C" NOT NULL,
	response     jsonb,
	-- Only what must come back byte for byte, which jsonb does not do.
	body         bytea,
	CONSTRAINT "idemtx_replies_pkey" PRIMARY KEY (scope, key),
	-- An index entry longer than a third of a page is refused.
	CONSTRAINT scope_length CHECK (octet_length(scope) BETWEEN 1 AND 1024),
	CONSTRAINT key_length CHECK (octet_length(key) BETWEEN 1 AND 255),
	CONSTRAINT fingerprint_is_sha256 CHECK (octet_length(fingerprint) = 32),
	-- Claimed, answered or, with the reply gone, retained, and one of them only: half a
	-- reply could not be replayed, and a claim without an end would block its key for ever.
	CONSTRAINT claimed_or_answered CHECK (num_nonnulls(response, lease_until, nullif(retain_until = expires_at, false)) = 1),
	CONSTRAINT claim_has_holder CHECK (lease_until IS NULL OR lease_id IS NOT NULL),
	CONSTRAINT claim_has_no_reply CHECK (response IS NOT NULL OR (body IS NULL AND NOT refused)),
	CONSTRAINT claim_is_not_retained CHECK (lease_until IS NULL OR retain_until IS NULL),
	CONSTRAINT sealed_has_body CHECK (NOT sealed OR (response IS NOT NULL AND body IS NOT NULL)),
	CONSTRAINT expires_after_creation CHECK (expires_at > created_at),
	CONSTRAINT retained_after_expiry CHECK (retain_until IS NULL OR retain_until >= expires_at)
);

-- The sweeper reads the oldest first.
CREATE INDEX IF NOT EXISTS "idemtx_replies_expires_at_idx" ON "public"."idemtx_replies" (expires_at);
