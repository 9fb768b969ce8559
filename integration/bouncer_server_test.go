//go:build unix

package integration

import (
	"context"
	"net"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemtx"
)

// bouncerBefore starts a PgBouncer that finds the server at the end of a proxy.
func bouncerBefore(t *testing.T, wire *proxy) *bouncer {
	t.Helper()
	address := wire.listener.Addr().(*net.TCPAddr)
	return newBouncerTo(t, address.IP.String(), uint16(address.Port),
		"server_tls_sslmode = disable", "server_login_retry = 1")
}

// PgBouncer, which loses the server's answer to COMMIT, ends the connection to its
// client with a FATAL. From PostgreSQL itself that would mean that COMMIT was not
// reached; here nobody knows, and it is found out.
func TestBouncerLosesTheServerInACommit(t *testing.T) {
	t.Parallel()
	for name, lost := range map[string]fate{"which has landed": swallow, "which never arrived": drop} {
		for _, attempts := range []int{1, 2} {
			wire := newProxy(t)
			b := bouncerBefore(t, wire)
			f := newFixture(t, b.to(b.database(t), pgx.QueryExecModeExec), withMaxAttempts(attempts))
			judge, met := once((*trip).commits, lost)
			wire.meet(judge)
			fn, runs := counting(f, "k")
			reply, err := idemtx.Do(t.Context(), f.store, f.request("k"), fn)
			require.True(t, met.Load())
			if lost == drop && attempts == 1 {
				require.Error(t, err, name)
				require.NotErrorIs(t, err, idemtx.ErrOutcomeUnknown)
				require.Zero(t, f.effects("k"))
				f.idle()
				continue
			}
			require.NoError(t, err, name)
			require.False(t, reply.Replayed, name)
			require.EqualValues(t, map[fate]int{swallow: 1, drop: 2}[lost], runs.Load())
			requireOnce(f, "k", reply)
		}
	}
}

// With the server out of reach nothing can be found out, and that is what the
// caller is told: it is not a failure.
func TestBouncerLosesTheServerForGood(t *testing.T) {
	t.Parallel()
	wire := newProxy(t)
	b := bouncerBefore(t, wire)
	f := newFixture(t, b.to(b.database(t), pgx.QueryExecModeExec))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var lost atomic.Bool
	wire.meet(func(trip *trip) fate {
		switch {
		case lost.Load():
			return drop
		case trip.commits():
			lost.Store(true)
			wire.refuse(true)
			cancel()
			return swallow
		}
		return deliver
	})
	fn, runs := counting(f, "k")
	reply, err := idemtx.Do(ctx, f.store, f.request("k"), fn)
	require.ErrorIs(t, err, idemtx.ErrOutcomeUnknown)
	require.Zero(t, reply)

	wire.refuse(false)
	wire.meet(nil)
	// PgBouncer keeps away for a while from a server that it could not log in to.
	require.Eventually(t, func() bool {
		reply, err = idemtx.Do(t.Context(), f.store, f.request("k"), fn)
		return err == nil
	}, patience, tick)
	require.True(t, reply.Replayed)
	require.EqualValues(t, 1, runs.Load())
	requireOnce(f, "k", reply)
}
