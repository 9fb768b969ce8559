package integration

import (
	"context"
	_ "embed"
	"encoding/hex"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemtx"
)

// schema1 is the table as the first release made it, in the schema public.
//
//go:embed testdata/schema_1.sql
var schema1 string

// The cures make the table of today out of an older one, and its rows live on.
func TestUpgradeFromTheFirstSchema(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	exec(t, "DROP TABLE "+f.table())
	exec(t, strings.ReplaceAll(schema1, `"public"`, f.schema))
	r := f.request("k")
	fingerprint, err := idemtx.FingerprintOf(r.Operation, r.Payload)
	require.NoError(t, err)
	exec(t, "INSERT INTO "+f.table()+" (scope, key, fingerprint, response, created_at, expires_at) VALUES ('"+
		strings.Join([]string{f.scope.Key(), "k"}, "', '")+"', decode('"+hex.EncodeToString(fingerprint[:])+"', 'hex'), '{\"number\": 7}', now(), now() + interval '1 hour')")

	_, err = idemtx.Do(t.Context(), f.store, r, f.handler("k"))
	require.ErrorAs(t, err, new(*idemtx.SchemaError))
	err = f.store.CreateSchema(t.Context())
	require.Equal(t, []string{
		`column "retain_until" is missing`, `column "sealed" is missing`,
		"CHECK claimed_answered_or_retained is missing", "CHECK claim_is_not_retained is missing",
		"CHECK sealed_has_body is missing", "CHECK retained_after_expiry is missing",
		"CHECK claimed_or_answered is of an older release",
	}, differences(t, err))
	cure(t, f.store, err)
	require.NoError(t, f.store.VerifySchema(t.Context()))

	again := f.peer(withConfig(retaining)) // whose connections have not seen the old table
	reply, err := idemtx.Do(t.Context(), again.store, r, func(ctx context.Context, tx pgx.Tx) (order, error) {
		return order{}, nil
	})
	require.NoError(t, err)
	require.True(t, reply.Replayed)
	require.EqualValues(t, 7, reply.Value.Number)
	_, err = idemtx.Do(t.Context(), again.store, f.request("l"), f.handler("l"))
	require.NoError(t, err)
	again.bury("l")
	_, err = idemtx.Do(t.Context(), again.store, f.request("l"), f.handler("l"))
	require.ErrorIs(t, err, idemtx.ErrExpired)
}
