package integration

import (
	"context"
	"encoding/json"
	"errors"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemtx"
)

// Defects of replies that part from the work.

// The lock is no use against a program that writes the table without it. A reply
// that finds the key taken must undo the work that goes with it, or it is done
// twice with one reply.
func TestDefectLoserKeepsItsEffect(t *testing.T) {
	t.Parallel()
	for _, m := range modes[:2] {
		t.Run(string(m.name), func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			runs := 0
			reply, err := m.do(t.Context(), f, f.request("k"), func(ctx context.Context, db execer) (order, error) {
				runs++
				putBehindItsBack(t, f, "k")
				return f.effect(ctx, db, "k")
			})
			require.NoError(t, err)
			require.True(t, reply.Replayed)
			require.Equal(t, order{Number: 4711}, reply.Value)
			require.Equal(t, 1, runs)
			require.Zero(t, f.effects("k"))
		})
	}
}

// putBehindItsBack stores a reply for a request whose handler is running.
func putBehindItsBack(t *testing.T, f *fixture, key string) {
	t.Helper()
	r := f.request(key)
	fingerprint, err := idemtx.FingerprintOf(r.Operation, r.Payload)
	require.NoError(t, err)
	stored, err := f.store.Put(t.Context(), f.scope, key, idemtx.Entry{Fingerprint: fingerprint, Response: []byte(`{"number":4711}`)})
	require.NoError(t, err)
	require.True(t, stored)
}

// A reply that could not be stored while the work is committed anyway is work
// that is done again.
func TestDefectSwallowedPersistFailure(t *testing.T) {
	t.Parallel()
	for _, m := range modes[:2] {
		for _, mode := range execModes {
			t.Run(string(m.name)+"/"+mode.String(), func(t *testing.T) {
				t.Parallel()
				f := newFixture(t, withExecMode(mode))
				noReplies(t, f)
				// The caller of DoTx commits in spite of the error.
				_, err := m.do(t.Context(), f, f.request("k"), effect(f, "k"))
				require.ErrorContains(t, err, "idemtx: store the reply")
				require.NotErrorIs(t, err, pgx.ErrTxCommitRollback)
				require.Zero(t, f.effects("k"))
				require.Zero(t, f.rows("k"))
			})
		}
	}
}

// noReplies lets the table take claims and no replies.
func noReplies(t *testing.T, f *fixture) {
	t.Helper()
	exec(t, "ALTER TABLE "+f.table()+" ADD CONSTRAINT no_replies CHECK (response IS NULL)")
}

// A caller of DoTx that undoes a part of its transaction undoes the reply with
// the work, or both stay.
func TestDefectRecordOutlivesItsSavepoint(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	tx := begin(t, f.pool)
	for _, keep := range []bool{false, true} {
		part, err := tx.Begin(t.Context())
		require.NoError(t, err)
		reply, err := idemtx.DoTx(t.Context(), f.store, part, f.request("k"), f.handler("k"))
		require.NoError(t, err)
		require.False(t, reply.Replayed)
		if keep {
			require.NoError(t, part.Commit(t.Context()))
		} else {
			require.NoError(t, part.Rollback(t.Context()))
		}
	}
	reply, err := idemtx.DoTx(t.Context(), f.store, tx, f.request("k"), f.handler("k"))
	require.NoError(t, err)
	require.True(t, reply.Replayed)
	require.Zero(t, f.effects("k")+f.rows("k"))
	require.NoError(t, tx.Commit(t.Context()))
	require.Equal(t, 1, f.effects("k"))
	require.Equal(t, 1, f.rows("k"))
}

// An error that is kept is replayed for a day to clients who would have succeeded
// a second later. Only what the handler calls final is kept.
func TestDefectCachedError(t *testing.T) {
	t.Parallel()
	overloaded := errors.New("overloaded")
	for _, m := range modes {
		t.Run(string(m.name), func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			for range 2 {
				_, err := m.do(t.Context(), f, f.request("k"), func(context.Context, execer) (order, error) {
					return order{Note: "try later"}, overloaded
				})
				require.ErrorIs(t, err, overloaded)
				require.Zero(t, f.rows("k"))
			}
			reply, err := m.do(t.Context(), f, f.request("k"), effect(f, "k"))
			require.NoError(t, err)
			require.False(t, reply.Replayed)
		})
	}
}

// PostgreSQL refuses U+0000 in jsonb when the work is done. Unless the work is
// undone, it is done again by every retry.
func TestDefectUnstorableAfterTheWork(t *testing.T) {
	t.Parallel()
	for _, m := range modes[:2] {
		t.Run(string(m.name), func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			for _, reply := range []any{order{Note: "a\x00b"}, json.RawMessage(`"\u0000"`), json.RawMessage(`1e200000`)} {
				_, err := answerWith(t.Context(), m, f, "k", reply)
				require.ErrorIs(t, err, idemtx.ErrReplyNotStorable)
				require.Zero(t, f.effects("k")+f.rows("k"))
			}
			// What only looks like U+0000 is stored.
			_, err := answerWith(t.Context(), m, f, "k", any(order{Note: `\u0000`}))
			require.NoError(t, err)
			require.Equal(t, 1, f.effects("k"))
		})
	}
}
