package integration

import (
	"context"
	"encoding/hex"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemtx"
)

// The cures make the table of today out of an older one, as the migrations do, and its
// rows live on.
func TestUpgradeFromTheFirstSchema(t *testing.T) {
	t.Parallel()
	for name, partitions := range map[string]int{"plain": 0, "partitioned": 3} {
		for how, upgrade := range map[string]func(*testing.T, *fixture, error){
			"by the cures": func(t *testing.T, f *fixture, found error) { cure(t, f.store, found) },
			"by migrations": func(t *testing.T, f *fixture, _ error) {
				for _, step := range f.store.Migrations()[1:] {
					exec(t, step.SQL)
				}
			},
		} {
			t.Run(name+" "+how, func(t *testing.T) {
				t.Parallel()
				upgradeFromTheFirstSchema(t, newFixture(t, partitioning(partitions)), upgrade)
			})
		}
	}
}

func upgradeFromTheFirstSchema(t *testing.T, f *fixture, upgrade func(*testing.T, *fixture, error)) {
	t.Helper()
	want := shape(t, f.pool, f.table())
	exec(t, "DROP TABLE "+f.table())
	exec(t, f.store.Migrations()[0].SQL)
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
		"CHECK claim_is_not_retained is missing",
		"CHECK sealed_has_body is missing", "CHECK retained_after_expiry is missing",
		"CHECK claimed_or_answered is of an older release",
	}, differences(t, err))
	upgrade(t, f, err)
	require.NoError(t, f.store.VerifySchema(t.Context()))
	require.ElementsMatch(t, want, shape(t, f.pool, f.table()))
	for _, step := range f.store.Migrations() { // of a table that was made otherwise
		exec(t, step.SQL)
	}
	require.ElementsMatch(t, want, shape(t, f.pool, f.table()))

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
