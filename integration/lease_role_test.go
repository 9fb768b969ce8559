package integration

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemtx"
)

// What idemtx does in a transaction of its own does not depend on what a role's
// transactions are by default: a claim that had to wait sees what it has waited for.
//
//	X:  replaces the expired reply
//	A:  claims the key, waits for X
//	X:  commits
//	A:  finds X's reply
func TestLeaseHandlerOfAStrictRole(t *testing.T) {
	t.Parallel()
	for _, level := range isolations {
		f := newFixture(t, withIsolation(level))
		_, err := poolMode.do(t.Context(), f, f.request("k"), effect(f, "old"))
		require.NoError(t, err)
		f.expire("k")
		r := f.request("k")
		fingerprint, err := idemtx.FingerprintOf(r.Operation, r.Payload)
		require.NoError(t, err)
		x := transaction(f.peer())
		stored, err := f.store.PutTx(t.Context(), x, f.scope, "k",
			idemtx.Entry{Fingerprint: fingerprint, Response: []byte(`{"number": 7}`)})
		require.NoError(t, err)
		require.True(t, stored)
		a := launch(t.Context(), poolMode, f, r, mustNotRun(t))
		f.waitsForRow()
		require.NoError(t, x.Commit(t.Context()))
		a.ends(t)
		require.NoError(t, a.err)
		require.True(t, a.reply.Replayed)
		require.Equal(t, order{Number: 7}, a.reply.Value)
		f.idle()
	}
}
