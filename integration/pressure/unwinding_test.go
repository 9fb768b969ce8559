package pressure

import (
	"context"
	"errors"
	"runtime"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemtx"
)

// leavings are the ways in which a handler ends without returning.
var leavings = []struct {
	name   string
	leave  func()
	panics any
	once   bool // at one stand, because it is another by another name
}{
	{"panic", func() { panic("a handler's") }, "a handler's", false},
	{"Goexit", runtime.Goexit, nil, false},
	{"FailNow", func() { require.FailNow(failing{}, "it has failed") }, nil, true},
}

// failing is a test whose goroutine ends when it fails.
type failing struct{}

func (failing) Errorf(string, ...any) {}
func (failing) FailNow()              { runtime.Goexit() }

// stand is how far a handler has come that does not return.
type stand struct {
	name  string
	modes []mode
	done  int // effects, where nothing undoes them
	come  func(s *scene, ctx context.Context, db querier)
}

const workDone = "after its work"

var stands = []stand{
	{"before its work", modes, 0, func(*scene, context.Context, querier) {}},
	{workDone, modes, 1, func(s *scene, ctx context.Context, db querier) {
		_, err := s.work(ctx, db)
		require.NoError(s.t, err)
	}},
	{"in a savepoint", modes[:2], 0, func(s *scene, ctx context.Context, db querier) {
		savepoint, err := db.(pgx.Tx).Begin(ctx)
		require.NoError(s.t, err)
		_, err = s.work(ctx, savepoint)
		require.NoError(s.t, err)
	}},
	// In DoTx its failure has let go of the lock.
	{"after a statement that failed", modes[:1], 0, func(s *scene, ctx context.Context, db querier) {
		require.Error(s.t, db.QueryRow(ctx, "SELECT 1/0").Scan(nil))
	}},
	{"with rows unread", modes[:2], 0, func(s *scene, ctx context.Context, db querier) {
		_, err := s.work(ctx, db)
		require.NoError(s.t, err)
		_, err = db.(pgx.Tx).Query(ctx, "SELECT generate_series(1, 100000)")
		require.NoError(s.t, err)
	}},
}

// TestHandlerDoesNotReturn is about what a handler leaves behind that ends its
// goroutine, or is ended: nothing, and the turn to the next in line.
func TestHandlerDoesNotReturn(t *testing.T) { //nolint:paralleltest // looks at all goroutines
	d := newDatabase(t)
	for _, at := range stands { //nolint:paralleltest // as above
		for _, m := range at.modes {
			for _, by := range leavings {
				if by.once && at.name != workDone {
					continue
				}
				t.Run(at.name+" "+string(m.name)+" "+by.name, func(t *testing.T) {
					left := leaks(t)
					s := newScene(t, d, m, endings[0])
					recovered := s.unwind(at, by.leave)
					require.Equal(t, by.panics, recovered)
					s.nextRan()
					done := 1
					if !m.atomic {
						done += at.done
					}
					require.Equal(t, done, s.effects(s.key))
					s.over()
					left()
				})
			}
		}
	}
}

// unwind makes a call whose handler leaves when it has come far enough and another
// one waits behind it. It returns what the handler has panicked with.
func (s *scene) unwind(at stand, leave func()) (recovered any) {
	s.t.Helper()
	come, goOn, ended := make(chan struct{}), make(chan struct{}), make(chan struct{})
	fn := func(ctx context.Context, db querier) (order, error) {
		at.come(s, ctx, db)
		close(come)
		await(s.t, goOn)
		leave()
		return order{}, nil
	}
	go func() {
		defer close(ended)
		defer func() { recovered = recover() }()
		_, err := s.mode.do(s.ctx, s.process, request(s.key), fn)
		s.t.Error("the call has returned:", err)
	}()
	receive(s.t, "the handler has come there", come)
	s.follow(1)
	close(goOn)
	receive(s.t, "the call has ended", ended)
	return recovered
}

// TestTransactionOfAHandlerThatDoesNotReturn: the caller's transaction can be used
// by what is deferred in the caller, and nothing of the handler's is in it.
func TestTransactionOfAHandlerThatDoesNotReturn(t *testing.T) { //nolint:paralleltest // looks at all goroutines
	d := newDatabase(t)
	for _, at := range stands[:4] { //nolint:paralleltest // as above
		for _, by := range leavings[:2] {
			t.Run(at.name+" "+by.name, func(t *testing.T) {
				left := leaks(t)
				s := newScene(t, d, modeDoTx, endings[0])
				ended := make(chan error, 1)
				go func() {
					tx, err := s.pool.Begin(s.ctx)
					defer func() {
						_ = recover()
						_, execErr := tx.Exec(s.ctx, "INSERT INTO "+s.schema+".effects (key) VALUES ($1)", "the caller's "+s.key)
						ended <- errors.Join(err, execErr, tx.Commit(s.ctx))
					}()
					_, err = idemtx.DoTx(s.ctx, s.store, tx, request(s.key), func(ctx context.Context, tx pgx.Tx) (order, error) {
						at.come(s, ctx, tx)
						by.leave()
						return order{}, nil
					})
				}()
				require.NoError(t, receive(t, "the caller has committed", ended))
				require.Zero(t, s.effects(s.key))
				require.Zero(t, s.rows(s.key))
				require.Equal(t, 1, s.effects("the caller's "+s.key))
				s.idle()
				s.pool.Close()
				left()
			})
		}
	}
}

// TestStrayLeavesNothing: a goroutine in the middle of a statement is waited for,
// whatever has become of the handler that has left it behind.
func TestStrayLeavesNothing(t *testing.T) { //nolint:paralleltest // looks at all goroutines
	d := newDatabase(t)
	for _, m := range modes[:2] { //nolint:paralleltest // as above
		for _, by := range leavings[:2] {
			t.Run(string(m.name)+" "+by.name, func(t *testing.T) {
				left := leaks(t)
				s := newScene(t, d, m, endings[0])
				s.shut(s.key)
				stray, ended := make(chan error, 1), make(chan struct{})
				go func() {
					defer close(ended)
					defer func() { _ = recover() }()
					_, _ = m.do(s.ctx, s.process, request(s.key), func(ctx context.Context, db querier) (order, error) {
						go func() {
							_, err := db.(pgx.Tx).Exec(ctx, passGate, s.key)
							stray <- err
						}()
						s.blocked(s.application, 1)
						by.leave()
						return order{}, nil
					})
				}()
				until(t, "the stray is waited for", func() bool { return goroutinesIn("idemtx.(*loan).end") == 1 })
				s.open(s.key)
				require.NoError(t, receive(t, "the statement ends", stray))
				receive(t, "the call ends", ended)
				s.follow(0)
				s.nextRan()
				s.over()
				left()
			})
		}
	}
}
