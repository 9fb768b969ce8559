package integration

// everyDifference ends with many at once.
var everyDifference = []broken{
	{
		"NoCreatedAt", "{alter} DROP COLUMN created_at",
		`column "created_at" is missing; CHECK expires_after_creation is missing`,
	},
	{
		"NoExpiresAt", "{alter} DROP COLUMN expires_at",
		`column "expires_at" is missing; CHECK claimed_or_answered is missing; CHECK expires_after_creation is missing; CHECK retained_after_expiry is missing; an index on expires_at is missing`,
	},
	{
		"NoLeaseUntil", "{alter} DROP COLUMN lease_until",
		`column "lease_until" is missing; CHECK claimed_or_answered is missing; CHECK claim_has_holder is missing; CHECK claim_is_not_retained is missing`,
	},
	{"NoLeaseID", "{alter} DROP COLUMN lease_id", `column "lease_id" is missing; CHECK claim_has_holder is missing`},
	{"NoRefused", "{alter} DROP COLUMN refused", `column "refused" is missing; CHECK claim_has_no_reply is missing`},
	{
		"NoFingerprint", "{alter} DROP COLUMN fingerprint",
		`column "fingerprint" is missing; CHECK fingerprint_is_sha256 is missing`,
	},
	{
		"NoScope", "{alter} DROP COLUMN scope",
		`column "scope" is missing; the primary key is missing; CHECK scope_length is missing`,
	},
	{
		"NoKey", "{alter} DROP COLUMN key",
		`column "key" is missing; the primary key is missing; CHECK key_length is missing`,
	},
	{
		"NoResponse", "{alter} DROP COLUMN response",
		`column "response" is missing; CHECK claimed_or_answered is missing; CHECK claim_has_no_reply is missing; CHECK sealed_has_body is missing`,
	},
	{"NoBody", "{alter} DROP COLUMN body", `column "body" is missing; CHECK claim_has_no_reply is missing; CHECK sealed_has_body is missing`},
	{
		"NoRetainUntil", "{alter} DROP COLUMN retain_until",
		`column "retain_until" is missing; CHECK claimed_or_answered is missing; CHECK claim_is_not_retained is missing; CHECK retained_after_expiry is missing`,
	},
	{"NoSealed", "{alter} DROP COLUMN sealed", `column "sealed" is missing; CHECK sealed_has_body is missing`},

	{
		"CreatedAtWithoutZone", "{alter} ALTER created_at TYPE timestamp",
		`column "created_at" is timestamp without time zone, not timestamptz`,
	},
	{
		"ExpiresAtInSeconds", "{alter} ALTER expires_at TYPE timestamptz(0)",
		`column "expires_at" is timestamp(0) with time zone, not timestamptz`,
	},
	{
		"LeaseUntilText", "{alter} ALTER lease_until TYPE text, ALTER lease_until SET DEFAULT ''",
		`column "lease_until" is text, not timestamptz`,
	},
	{"LeaseIDText", "{alter} ALTER lease_id TYPE text", `column "lease_id" is text, not uuid`},
	{
		"RefusedDomain", "CREATE DOMAIN {schema}.bool AS bool; {alter} ALTER refused TYPE {schema}.bool",
		`column "refused" is {schema}.bool, not boolean`,
	},
	{"FingerprintText", "{alter} ALTER fingerprint TYPE text", `column "fingerprint" is text, not bytea`},
	{
		"ScopeVarchar", `{alter} ALTER scope TYPE varchar(99) COLLATE "C"`,
		`column "scope" is character varying(99) COLLATE "C", not text COLLATE "C"`,
	},
	{
		"ScopeInLocale", `{alter} ALTER scope TYPE text COLLATE "default"`,
		`column "scope" is text COLLATE "default", not text COLLATE "C"`,
	},
	{
		"KeyPosix", `{alter} ALTER key TYPE text COLLATE "POSIX"`,
		`column "key" is text COLLATE "POSIX", not text COLLATE "C"`,
	},
	{"KeyBytea", "{alter} ALTER key TYPE bytea USING key::bytea", `column "key" is bytea, not text COLLATE "C"`},
	{"ResponseJSON", "{alter} ALTER response TYPE json", `column "response" is json, not jsonb`},
	{"ResponseText", "{alter} ALTER response TYPE text", `column "response" is text, not jsonb`},
	{"BodyText", "{alter} ALTER body TYPE text", `column "body" is text, not bytea`},

	{"CreatedAtNull", "{alter} ALTER created_at DROP NOT NULL", `column "created_at" accepts NULL`},
	{"ExpiresAtNull", "{alter} ALTER expires_at DROP NOT NULL", `column "expires_at" accepts NULL`},
	{"RefusedNull", "{alter} ALTER refused DROP NOT NULL", `column "refused" accepts NULL`},
	{"FingerprintNull", "{alter} ALTER fingerprint DROP NOT NULL", `column "fingerprint" accepts NULL`},
	{"LeaseUntilNotNull", "{alter} ALTER lease_until SET NOT NULL", `column "lease_until" refuses NULL`},
	{"LeaseIDNotNull", "{alter} ALTER lease_id SET NOT NULL", `column "lease_id" refuses NULL`},
	{"ResponseNotNull", "{alter} ALTER response SET NOT NULL", `column "response" refuses NULL`},
	{"BodyNotNull", "{alter} ALTER body SET NOT NULL", `column "body" refuses NULL`},

	{"RefusedWithoutDefault", "{alter} ALTER refused DROP DEFAULT", `column "refused" does not default to false`},
	{"RefusedByDefault", "{alter} ALTER refused SET DEFAULT true", `column "refused" does not default to false`},
	{"BodyGenerated", `{alter} DROP COLUMN body, ADD COLUMN body bytea GENERATED ALWAYS AS (fingerprint) STORED,
		ADD CONSTRAINT sealed_has_body CHECK (NOT sealed OR (response IS NOT NULL AND body IS NOT NULL)),
		ADD CONSTRAINT claim_has_no_reply CHECK (response IS NOT NULL OR (body IS NULL AND NOT refused))`, `column "body" is generated`},
	{
		"ExtraColumn", `{alter} ADD COLUMN "Tenant ""Id""" int NOT NULL`,
		`column "Tenant ""Id""" is not one of idemtx's, is NOT NULL and has no default`,
	},

	{"NoPrimaryKey", "{alter} DROP CONSTRAINT order_pkey", "the primary key is missing"},
	{
		"NoPrimaryKeyAndNull", "{alter} DROP CONSTRAINT order_pkey, ALTER scope DROP NOT NULL",
		`the primary key is missing; column "scope" accepts NULL`,
	},
	{
		"UniqueIsNoPrimaryKey", "{alter} DROP CONSTRAINT order_pkey, ADD UNIQUE (scope, key)",
		"the primary key is missing",
	},
	{
		"PrimaryKeyOrder", "{alter} DROP CONSTRAINT order_pkey, ADD PRIMARY KEY (key, scope)",
		`the primary key is on ("key", "scope"), not on (scope, key)`,
	},
	{
		"PrimaryKeyOnKey", `{alter} DROP CONSTRAINT order_pkey, ADD CONSTRAINT "P ""K""" PRIMARY KEY (key)`,
		`the primary key is on ("key"), not on (scope, key)`,
	},
	{
		"PrimaryKeyOnMore", "{alter} DROP CONSTRAINT order_pkey, ADD PRIMARY KEY (scope, key, response)",
		`the primary key is on ("scope", "key", "response"), not on (scope, key); column "response" refuses NULL`,
	},
	{
		"PrimaryKeyDeferrable", "{alter} DROP CONSTRAINT order_pkey, ADD PRIMARY KEY (scope, key) DEFERRABLE",
		"the primary key is deferrable, which ON CONFLICT refuses",
	},
	{
		"PrimaryKeyInvalid", "UPDATE pg_index SET indisvalid = false WHERE indrelid = '{table}'::regclass AND indisprimary",
		"the primary key is not valid",
	},
	{
		"PrimaryKeyAllWrong", "{alter} DROP CONSTRAINT order_pkey, ADD PRIMARY KEY (key) DEFERRABLE",
		`the primary key is on ("key"), not on (scope, key) and deferrable, which ON CONFLICT refuses`,
	},

	{"NoScopeLength", "{alter} DROP CONSTRAINT scope_length", "CHECK scope_length is missing"},
	{"NoKeyLength", "{alter} DROP CONSTRAINT key_length", "CHECK key_length is missing"},
	{"NoFingerprintSize", "{alter} DROP CONSTRAINT fingerprint_is_sha256", "CHECK fingerprint_is_sha256 is missing"},
	{
		"NoClaimedOrAnswered", "{alter} DROP CONSTRAINT claimed_or_answered",
		"CHECK claimed_or_answered is missing",
	},
	{
		"TheCheckOfAnOlderRelease", "{alter} DROP CONSTRAINT claimed_or_answered, ADD CONSTRAINT claimed_or_answered CHECK ((response IS NULL) = (lease_until IS NOT NULL))",
		"CHECK claimed_or_answered is of an older release",
	},
	{"NoClaimHasHolder", "{alter} DROP CONSTRAINT claim_has_holder", "CHECK claim_has_holder is missing"},
	{"NoClaimHasNoReply", "{alter} DROP CONSTRAINT claim_has_no_reply", "CHECK claim_has_no_reply is missing"},
	{
		"NoExpiresAfterCreation", "{alter} DROP CONSTRAINT expires_after_creation",
		"CHECK expires_after_creation is missing",
	},
	{"CheckNotValid", `{alter} DROP CONSTRAINT key_length,
		ADD CONSTRAINT key_length CHECK (octet_length(key) BETWEEN 1 AND 255) NOT VALID`, "CHECK key_length is not valid: older rows may break it"},

	{"NoIndex", "DROP INDEX {index}", "an index on expires_at is missing"},
	{
		"IndexOnOther", "DROP INDEX {index}; CREATE INDEX ON {table} (scope, expires_at)",
		"an index on expires_at is missing",
	},
	{
		"IndexUnordered", "DROP INDEX {index}; CREATE INDEX ON {table} USING hash (expires_at)",
		"an index on expires_at is missing",
	},
	{
		"IndexPartial", `DROP INDEX {index}; CREATE INDEX "p ""i""" ON {table} (expires_at) WHERE refused`,
		`an index on expires_at is missing: "p ""i""" is partial`,
	},

	{"Unlogged", "{alter} SET UNLOGGED", "{table} is UNLOGGED: a crash empties it, and what was done is done again"},
	{
		"View", "DROP TABLE {table}; CREATE VIEW {table} AS SELECT 1",
		"the name is taken by something else: view; the table is missing",
	},
	{
		"MaterializedView", "DROP TABLE {table}; CREATE MATERIALIZED VIEW {table} AS SELECT 1",
		"the name is taken by something else: materialized view; the table is missing",
	},
	{
		"Sequence", "DROP TABLE {table}; CREATE SEQUENCE {table}",
		"the name is taken by something else: sequence; the table is missing",
	},
	{
		"Type", "DROP TABLE {table}; CREATE TYPE {table} AS (x int)",
		"the name is taken by something else: type; the table is missing",
	},
	{
		"Index", `DROP TABLE {table}; CREATE TABLE {schema}.x (i int); CREATE INDEX "order" ON {schema}.x (i)`,
		"the name is taken by something else: index; the table is missing",
	},
	{"NoTable", "DROP TABLE {table}", "the table is missing"},
	{"NoSchema", "DROP SCHEMA {schema} CASCADE", "the table is missing"},

	{"Everything", `{alter} DROP COLUMN created_at, DROP CONSTRAINT order_pkey, DROP CONSTRAINT scope_length,
			ALTER lease_id SET NOT NULL, ALTER response TYPE text, ALTER key TYPE varchar, ALTER refused DROP DEFAULT,
			ADD COLUMN tenant int NOT NULL, ALTER body TYPE text, ALTER body SET NOT NULL, ALTER expires_at DROP NOT NULL;
		{alter} SET UNLOGGED; DROP INDEX {index}`, `column "created_at" is missing; column "refused" does not default to false; column "key" is character varying COLLATE "default", not text COLLATE "C"; column "response" is text, not jsonb; column "body" is text, not bytea; the primary key is missing; column "expires_at" accepts NULL; column "lease_id" refuses NULL; column "body" refuses NULL; column "tenant" is not one of idemtx's, is NOT NULL and has no default; CHECK scope_length is missing; CHECK expires_after_creation is missing; an index on expires_at is missing; {table} is UNLOGGED: a crash empties it, and what was done is done again`},
}
