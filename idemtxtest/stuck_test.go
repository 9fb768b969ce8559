package idemtxtest

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemtx"
	"github.com/idemtx/idemtx/scope"
)

// A run that waits for ever ends the test: here for a server that says nothing.
func TestARunThatIsStuck(t *testing.T) {
	t.Parallel()
	silent, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = silent.Close() })
	pool, err := pgxpool.New(t.Context(), "postgres://"+silent.Addr().String()+"/any?sslmode=disable")
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	store, err := idemtx.New(pool, idemtx.Config{})
	require.NoError(t, err)
	whose, err := scope.New("tenant", "principal")
	require.NoError(t, err)
	to := &told{TB: t}
	c := &trial[int]{bench: &bench{
		tb: to, request: idemtx.Request{Scope: whose, Operation: "POST /orders"}, bound: time.Millisecond,
	}}
	o := c.call(t.Context(), store, "k", func(context.Context, pgx.Tx) (int, error) { return 0, nil })
	require.Equal(t, errStuck, o.err)
	require.Panics(t, func() { c.stuck(o.err, "here") }) // as Fatalf has returned
	require.True(t, c.halted)
	require.Equal(t, []string{"idemtxtest: " + errStuck.Error() + "\n\there"}, to.failures)
	c.stuck(context.DeadlineExceeded, "here")
	require.Len(t, to.failures, 1)
}
