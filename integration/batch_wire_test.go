package integration

import (
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemtx"
)

// The trips of a DoBatch. A trip is what is sent up to a Sync. In the simple protocol
// they are Do's.
func TestBatchRoundTrips(t *testing.T) {
	t.Parallel()
	for _, exec := range preparing[:3] {
		t.Run(exec.String(), func(t *testing.T) {
			t.Parallel()
			wire, sent := newProxy(t), new(sendings)
			f := newFixture(t, through(wire), withExecMode(exec), withTracer(sent), withMaxConns(2))
			for _, key := range []string{"warm", "warm", "warmer"} { // all is prepared
				_, err := f.batch(t.Context(), f.request(key), f.ordering(key, "SELECT 1"))
				require.NoError(t, err)
				f.idle()
			}
			batchRoundTripsOfAFirst(t, f, wire, sent)
			batchRoundTripsOfAReplay(t, f, wire)
			batchRoundTripsOfAnotherProcess(t, f, wire, exec)
		})
	}
}

// In the simple protocol, where the server would log the key with what a pipeline stops
// at, they are Do's: and what Do finds out before COMMIT is found out.
func TestBatchInTheSimpleProtocolIsNoPipeline(t *testing.T) {
	t.Parallel()
	wire := newProxy(t)
	f := newFixture(t, through(wire), withExecMode(pgx.QueryExecModeSimpleProtocol))
	trips := wire.during(func() {
		_, err := f.batch(t.Context(), f.request("k"), f.ordering("k", "SELECT 1"))
		require.NoError(t, err)
	})
	require.Len(t, trips, 3)
	require.False(t, trips[0].has("effects"))
	require.Equal(t, 1, committed(trips))
	_, err := f.batch(t.Context(), f.request("undecodable"), batchOf(f.making("undecodable"), "SELECT 'text' AS number"))
	require.ErrorIs(t, err, idemtx.ErrReplyNotStorable)
	require.Zero(t, f.effects("undecodable")+f.rows("undecodable"))
}

// All in one trip, with one COMMIT. The reply is written in one version: the next
// key's is its neighbor in the table.
func batchRoundTripsOfAFirst(t *testing.T, f *fixture, wire *proxy, sent *sendings) {
	t.Helper()
	for i, key := range []string{"k", "next"} {
		sent.Store(0)
		runs := f.runs()
		trips := wire.during(func() {
			reply, err := f.batch(t.Context(), f.request(key), f.ordering(key, "SELECT 1"))
			require.NoError(t, err)
			require.False(t, reply.Replayed)
		})
		require.Len(t, trips, 1)
		require.EqualValues(t, 1, sent.Load())
		require.Equal(t, 1, committed(trips))
		require.True(t, trips[0].idle && trips[0].ended)
		require.Equal(t, runs+1, f.runs())
		if i > 0 {
			require.True(t, ask[bool](t, "SELECT (b.ctid::text::point - a.ctid::text::point) ~= point(0, 1) "+
				"FROM "+f.table()+" a, "+f.table()+" b WHERE a.key = 'k' AND b.key = 'next'"))
		}
		require.True(t, ask[bool](t, "SELECT r.xmin = e.xmin FROM "+f.table()+" r, "+f.schema+".effects e "+
			"WHERE r.key = $1 AND e.key = $1", key))
	}
	f.idle()
}

// In the process that has answered the key: a look, and the work is not sent.
func batchRoundTripsOfAReplay(t *testing.T, f *fixture, wire *proxy) {
	t.Helper()
	runs := f.runs()
	trips := wire.during(func() {
		reply, err := f.batch(t.Context(), f.request("k"), f.ordering("k", "SELECT 1"))
		require.NoError(t, err)
		require.True(t, reply.Replayed)
	})
	f.idle()
	require.Len(t, trips, 1)
	require.False(t, trips[0].has(".effects"))
	require.Zero(t, committed(trips))
	require.Equal(t, runs, f.runs())
}

// In one that has not: the whole pipeline is sent, and stops in front of the work.
// Its ROLLBACK is not waited for.
func batchRoundTripsOfAnotherProcess(t *testing.T, f *fixture, wire *proxy, exec pgx.QueryExecMode) {
	t.Helper()
	peer := f.peer(through(wire), withExecMode(exec), withMaxConns(1))
	_, err := peer.batch(t.Context(), peer.request("warmest"), peer.ordering("warmest", "SELECT 1"))
	require.NoError(t, err)
	runs := peer.runs()
	trips := wire.during(func() {
		reply, err := peer.batch(t.Context(), peer.request("k"), peer.ordering("k", "SELECT 1"))
		require.NoError(t, err)
		require.True(t, reply.Replayed)
		peer.idle()
	})
	require.Len(t, trips, 2)
	require.True(t, trips[0].commits() || exec == pgx.QueryExecModeSimpleProtocol)
	require.Zero(t, committed(trips))
	require.Equal(t, []string{"BEGIN", "SELECT 1", "SELECT 1"}, trips[0].tags, "the pipeline has gone on")
	require.Equal(t, []string{"rollback"}, trips[1].statements)
	require.Equal(t, runs, peer.runs())
	require.EqualValues(t, 1, peer.pool.Stat().NewConnsCount())
}
