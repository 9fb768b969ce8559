package command

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemtx"
)

// flight is a call whose handler is at work until land.
type flight struct {
	pid  int32
	land func() error
}

// fly begins a call and returns when its handler is at work.
func (f *fixture) fly(call func(ctx context.Context, work func(pid int32)) error) flight {
	f.t.Helper()
	started, ended, over := make(chan int32, 1), make(chan struct{}), make(chan struct{})
	done := make(chan error, 1)
	ctx, cancel := context.WithCancel(context.WithoutCancel(f.t.Context()))
	go func() {
		defer close(over)
		done <- call(ctx, func(pid int32) {
			started <- pid
			select {
			case <-ended:
			case <-ctx.Done():
			}
		})
	}()
	fl := flight{}
	select {
	case fl.pid = <-started:
	case err := <-done:
		require.NoError(f.t, err)
		require.FailNow(f.t, "the handler did not run")
	}
	landed := false
	fl.land = func() error {
		landed = true
		close(ended)
		return <-done
	}
	f.t.Cleanup(func() {
		cancel()
		if !landed {
			<-over
		}
	})
	return fl
}

// flyDo is in flight by the key's lock.
func (f *fixture) flyDo(s *idemtx.Store, key string) flight {
	f.t.Helper()
	return f.fly(func(ctx context.Context, work func(int32)) error {
		_, err := idemtx.Do(ctx, s, f.request(key), func(ctx context.Context, tx pgx.Tx) (string, error) {
			work(int32(tx.Conn().PgConn().PID()))
			return answer, ctx.Err()
		})
		return err
	})
}

// flyPool is in flight by a claim.
func (f *fixture) flyPool(key string) flight {
	f.t.Helper()
	return f.fly(func(ctx context.Context, work func(int32)) error {
		_, err := idemtx.DoPool(ctx, f.store, f.request(key), func(ctx context.Context) (string, error) {
			work(0)
			return answer, ctx.Err()
		})
		return err
	})
}

// replay is a call whose handler is not to run.
func (f *fixture) replay(s *idemtx.Store, key string) error {
	reply, err := idemtx.Do(context.WithoutCancel(f.t.Context()), s, f.request(key), answered)
	if err == nil && !reply.Replayed {
		err = errors.New("the handler has run")
	}
	return err
}

// detached runs what may last until the test is over, and returns what waits for it.
func (f *fixture) detached(do func()) (wait func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		do()
	}()
	wait = func() { <-done }
	f.t.Cleanup(wait)
	return wait
}
