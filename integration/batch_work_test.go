package integration

import (
	"context"
	"database/sql/driver"
	"errors"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemtx"
)

// A batch that is no work is refused before the database hears of it.
func TestBatchThatIsNoWork(t *testing.T) {
	t.Parallel()
	store := unreachable(t)
	r := idemtx.Request{Scope: mustScope(t, "tenant", "principal"), Key: "k"}
	called := func(b *pgx.Batch) *pgx.Batch {
		b.QueuedQueries[0].Exec(nil)
		return b
	}
	rows := batchOf("SELECT 1", returning)
	rows.QueuedQueries[1].Query(func(pgx.Rows) error { return nil })
	for says, work := range map[string]*pgx.Batch{
		"is empty":                 nil,
		"empty":                    {},
		"statement 1 of the batch": called(batchOf("SELECT 1", returning)),
		"statement 2 of the batch": rows,
	} {
		_, err := idemtx.DoBatch[order](t.Context(), store, r, work)
		require.ErrorIs(t, err, idemtx.ErrInvalidRequest, says)
		require.ErrorContains(t, err, says)
	}
	// What is asked for in earnest does go there.
	_, err := idemtx.DoBatch[order](t.Context(), store, r, batchOf(returning))
	require.Error(t, err)
	require.NotErrorIs(t, err, idemtx.ErrInvalidRequest)

	for _, bad := range []func(*idemtx.Request){
		func(r *idemtx.Request) { r.Key = "" },
		func(r *idemtx.Request) { r.Scope = mustScope(t, "", "nobody"); r.TTL = 1 },
		func(r *idemtx.Request) { r.Payload = make(chan int) },
		func(r *idemtx.Request) { r.OnDuplicate = 9 },
	} {
		broken := r
		bad(&broken)
		_, err := idemtx.DoBatch[order](t.Context(), store, broken, batchOf(returning))
		require.ErrorIs(t, err, idemtx.ErrInvalidRequest)
	}
}

// A batch is sent as often as it takes, and is the caller's all the time.
func batchWorkIsNotChanged(t *testing.T, via option) {
	f := newFixture(t, via)
	type statement struct {
		sql  string
		args []any
	}
	absent := (*string)(nil)
	text := "k"
	work := &pgx.Batch{}
	work.Queue("SELECT @text::text, @absent::text", pgx.NamedArgs{"text": &text, "absent": absent})
	work.Queue("SELECT $1::text, $2::text", absent, &text)
	args := make([]any, 1, 9) // there is room behind it
	args[0] = &text
	work.Queue("INSERT INTO "+f.schema+".effects (key) VALUES ($1) RETURNING id AS number", args...)
	state := func() (all []statement) {
		for _, q := range work.QueuedQueries {
			require.Nil(t, q.Fn)
			all = append(all, statement{q.SQL, slices.Clone(q.Arguments[:cap(q.Arguments)])})
		}
		return all
	}
	before := state()
	for _, key := range []string{"first", "second", "first"} {
		_, err := f.batch(t.Context(), f.request(key), work)
		require.NoError(t, err)
	}
	f.expire("first") // and once more as Do would
	_, err := f.batch(t.Context(), f.request("first"), work)
	require.NoError(t, err)
	require.Equal(t, before, state())
	require.Equal(t, 3, f.effects("k"))
	require.Equal(t, 3, f.runs())
}

// Arguments by name, in any of the statements, beside idemtx's own.
func batchWorkWithNamedArguments(t *testing.T, via option) {
	f := newFixture(t, via)
	work := &pgx.Batch{}
	work.Queue("INSERT INTO "+f.schema+".effects (key) VALUES (@key)", pgx.NamedArgs{"key": "k"})
	work.Queue("SELECT @number::bigint AS number, @note::text || @note AS note", pgx.NamedArgs{"note": "n", "number": 7})
	for i := range 2 {
		reply, err := f.batch(t.Context(), f.request("k"), work)
		require.NoError(t, err)
		require.Equal(t, i > 0, reply.Replayed)
		require.Equal(t, order{Number: 7, Note: "nn"}, reply.Value)
	}
	require.Equal(t, 1, f.effects("k"))

	for _, first := range []bool{true, false} {
		work := &pgx.Batch{}
		if first {
			work.Queue("SELECT @missing::text", pgx.StrictNamedArgs{})
			work.Queue(returning)
		} else {
			work.Queue(f.making("strict"))
			work.Queue("SELECT @missing::bigint AS number", pgx.StrictNamedArgs{})
		}
		_, err := f.batch(t.Context(), f.request("strict"), work)
		require.ErrorContains(t, err, "missing")
		require.NotErrorIs(t, err, idemtx.ErrOutcomeUnknown)
		require.Zero(t, f.effects("strict")+f.rows("strict"))
	}
	f.requireForgotten("strict")
}

// rewriter rewrites a statement as it says.
type rewriter func(sql string) (string, error)

func (r rewriter) RewriteQuery(_ context.Context, _ *pgx.Conn, sql string, args []any) (string, []any, error) {
	sql, err := r(sql)
	return sql, args, err
}

// panicky is a rewriter that panics, and unvalued an argument.
type (
	panicky  struct{}
	unvalued struct{}
)

func (unvalued) Value() (driver.Value, error) { panic("boom") }

func (panicky) RewriteQuery(context.Context, *pgx.Conn, string, []any) (string, []any, error) {
	panic("boom")
}

// A rewriter's error comes back, and its panic goes on. Neither costs a connection.
func TestBatchWhoseRewriterFails(t *testing.T) {
	t.Parallel()
	for _, exec := range execModes {
		t.Run(exec.String(), func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, withExecMode(exec), withMaxConns(2))
			_, err := f.batch(t.Context(), f.request("before"), f.ordering("before"))
			require.NoError(t, err)
			refused := errors.New("no such name")
			var calls atomic.Int64
			fails := rewriter(func(string) (string, error) { calls.Add(1); return "", refused })
			for i := range 2 {
				work := batchOf(f.making("k"), returning)
				work.QueuedQueries[i].Arguments = []any{fails}
				_, err := f.batch(t.Context(), f.request("k"), work)
				require.ErrorIs(t, err, refused)
				require.NotErrorIs(t, err, idemtx.ErrOutcomeUnknown)
				require.Zero(t, f.effects("k")+f.rows("k"))

				work.QueuedQueries[i].Arguments = []any{panicky{}}
				require.PanicsWithValue(t, "boom", func() { _, _ = f.batch(t.Context(), f.request("k"), work) })
				f.idle()
				work.QueuedQueries[i] = batchOf("SELECT $1::text AS note").QueuedQueries[0]
				work.QueuedQueries[i].Arguments = []any{unvalued{}}
				require.PanicsWithValue(t, "boom", func() { _, _ = f.batch(t.Context(), f.request("k"), work) })
				f.idle()
			}
			// The last of several counts, as in pgx, and may put anything there.
			work := batchOf("SELECT 1", "SELECT 2")
			work.QueuedQueries[1].Arguments = []any{fails, rewriter(func(string) (string, error) { return returning, nil })}
			reply, err := f.batch(t.Context(), f.request("rewritten"), work)
			require.NoError(t, err)
			require.EqualValues(t, 7, reply.Value.Number)
			f.requireForgotten("k")
		})
	}
}
