package integration

import (
	"cmp"
	"context"
	"errors"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemtx"
)

// slowToLock is one who comes to a key's lock when the gate is open, with a snapshot
// from in front of the gate.
func slowToLock(f *fixture) option {
	f.t.Helper()
	slow := newSchema(f.t)
	exec(f.t, `CREATE FUNCTION `+slow+`.pg_try_advisory_xact_lock(key bigint) RETURNS boolean LANGUAGE plpgsql AS $$
		BEGIN
			PERFORM pg_catalog.pg_advisory_xact_lock_shared(hashtext('`+f.schema+`'));
			RETURN pg_catalog.pg_try_advisory_xact_lock(key);
		END $$`)
	return withSetting("search_path", slow+", pg_catalog")
}

// do calls Do in another goroutine.
func (f *fixture) do(ctx context.Context, r idemtx.Request, fn work) *ongoing {
	return launch(ctx, modes[0], f, r, fn)
}

// outrun are calls whose snapshot is out of date when they have the lock.
var outrun = map[string]func(ctx context.Context, f *fixture) *ongoing{
	"Do works": func(ctx context.Context, f *fixture) *ongoing {
		return f.do(ctx, f.request("k"), effect(f, "k"))
	},
	"Do fails": func(ctx context.Context, f *fixture) *ongoing {
		return f.do(ctx, f.request("k"), inVain(f, errors.New("there is no lamp left")))
	},
	"Do refuses": func(ctx context.Context, f *fixture) *ongoing {
		return f.do(ctx, f.request("k"), inVain(f, idemtx.ErrRefused))
	},
	"DoBatch works": func(ctx context.Context, f *fixture) *ongoing {
		return launchBatch(ctx, f, f.request("k"), f.ordering("k"))
	},
	"DoBatch fails": func(ctx context.Context, f *fixture) *ongoing {
		return launchBatch(ctx, f, f.request("k"), f.ordering("k", f.making("k"), "SELECT 1/0"))
	},
	"DoBatch fails at the end": func(ctx context.Context, f *fixture) *ongoing {
		b := &pgx.Batch{}
		b.Queue(f.making("k"))
		b.Queue("SELECT 1/0 AS number")
		return launchBatch(ctx, f, f.request("k"), b)
	},
}

// inVain does its work and fails.
func inVain(f *fixture, failure error) work {
	return func(ctx context.Context, db execer) (order, error) {
		o, err := f.effect(ctx, db, "k")
		return o, cmp.Or(err, failure)
	}
}

// B:  BEGIN, snapshot ── held in front of the lock
// A:  the whole of a request
// B:  lock ✓, and A's reply is not to be seen: works in vain; replays A's.
func TestStrictOutrun(t *testing.T) {
	t.Parallel()
	for name, begin := range outrun {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			strictly(t, func(t *testing.T, level option) {
				t.Helper()
				f := newFixture(t, level)
				open := shutGate(f)
				b := f.peer(level, slowToLock(f), withMaxAttempts(1), withMaxConns(1))
				second := begin(t.Context(), b)
				f.blocked(1)
				first, err := idemtx.Do(t.Context(), f.store, f.request("k"), f.handler("k"))
				require.NoError(t, err)
				open()
				second.ends(t)
				require.NoError(t, second.err)
				require.True(t, second.reply.Replayed)
				require.Equal(t, first.Value, second.reply.Value)
				require.Equal(t, 2, f.runs())
				requireOnce(f, "k", first)
				b.idle()
			})
		})
	}
}

// What fails by itself has failed, and another request is another request.
func TestStrictOutrunByNoAnswer(t *testing.T) {
	t.Parallel()
	declined := errors.New("declined")
	strictly(t, func(t *testing.T, level option) {
		t.Helper()
		f := newFixture(t, level)
		open := shutGate(f)
		b := f.peer(level, slowToLock(f))
		second := b.do(t.Context(), b.other("k"), inVain(b, declined))
		f.blocked(1)
		_, err := idemtx.Do(t.Context(), f.store, f.request("k"), f.handler("k"))
		require.NoError(t, err)
		open()
		second.ends(t)
		require.ErrorIs(t, second.err, idemtx.ErrMismatch)

		runs := 0
		_, err = idemtx.Do(t.Context(), b.store, b.request("another"), func(ctx context.Context, tx pgx.Tx) (order, error) {
			runs++
			return inVain(b, declined)(ctx, tx)
		})
		require.Equal(t, declined.Error(), firstLine(err))
		require.ErrorIs(t, err, declined)
		require.Equal(t, 1, runs)
		b.idle()
	})
}

// What is told of a call whose work is in vain, all the same.
func TestStrictOutrunIsTold(t *testing.T) {
	t.Parallel()
	declined, panicked := errors.New("declined"), errors.New("panicked")
	for name, call := range map[string]struct {
		end     func(ctx context.Context, tx pgx.Tx, cancel func()) error
		told    []error
		effects int
	}{
		"a failure that is swallowed": {func(ctx context.Context, tx pgx.Tx, _ func()) error {
			_, err := tx.Exec(ctx, "SELECT 1/0")
			require.Error(t, err)
			return nil
		}, []error{idemtx.ErrTxMisuse}, 1},
		"another transaction in place of its own": {func(ctx context.Context, tx pgx.Tx, _ func()) error {
			_, err := tx.Exec(ctx, "COMMIT; BEGIN", pgx.QueryExecModeSimpleProtocol)
			require.NoError(t, err)
			return declined
		}, []error{idemtx.ErrTxMisuse, declined}, 2},
		"the end of its context": {func(ctx context.Context, _ pgx.Tx, cancel func()) error {
			cancel()
			return ctx.Err()
		}, []error{context.Canceled}, 1},
		"a panic": {func(context.Context, pgx.Tx, func()) error { panic(panicked) }, []error{panicked}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, withIsolation(pgx.RepeatableRead))
			open := shutGate(f)
			b := f.peer(withIsolation(pgx.RepeatableRead), slowToLock(f), withMaxConns(1))
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			second := &ongoing{done: make(chan struct{})}
			go func() {
				defer close(second.done)
				defer func() {
					if r := recover(); r != nil {
						second.err = r.(error)
					}
				}()
				second.reply, second.err = idemtx.Do(ctx, b.store, b.request("k"), func(ctx context.Context, tx pgx.Tx) (order, error) {
					o, err := b.effect(ctx, tx, "k")
					return o, cmp.Or(err, call.end(ctx, tx, cancel))
				})
			}()
			f.blocked(1)
			_, err := idemtx.Do(t.Context(), f.store, f.request("k"), f.handler("k"))
			require.NoError(t, err)
			open()
			second.ends(t)
			for _, told := range call.told {
				require.ErrorIs(t, second.err, told)
			}
			require.Equal(t, call.effects, f.effects("k"))
			require.Equal(t, 1, f.rows("k"))
			b.idle()
		})
	}
}
