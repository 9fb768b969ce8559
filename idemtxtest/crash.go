package idemtxtest

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/idemtx/idemtx/idemtx"
)

// Crash runs the handler fn through [idemtx.Do], breaks the connection at every
// statement boundary of it and on both sides of COMMIT, tries again as a client
// would, and runs two copies at once. It fails tb unless the effects and the reply
// are those of one clean run, every time; and it names what the handler writes
// outside of its transaction.
//
// It works in the database of s, with the configuration of s but for
// MaxAttempts, MaxWait and OnDuplicate. r is the request, with a key of its own
// for each case, which begins with r.Key; the handler finds the request that it
// runs for with [Request].
//
// The handler runs for real, more than ten times for each statement it sends, and
// about half of these runs are committed: it has to be one that can, or [Reset] has
// to make it so. Its statements fail, and it is to return their errors rather than
// fail the test with them. Two copies of it run in two goroutines. What it writes
// stays in the database. The replies are deleted, unless the test fails.
//
// Nothing else may write to the tables meanwhile: not another test in parallel,
// and not a worker that takes up what the handler has queued. Use a database of
// the test's own, or [Only].
//
// A failure names tables, columns, the places in a reply, and the beginning of
// the handler's statements. It shows no value of any of them. An error of the
// handler is shown as it is.
func Crash[T any](
	tb testing.TB, s *idemtx.Store, r idemtx.Request, fn func(ctx context.Context, tx pgx.Tx) (T, error), options ...Option,
) {
	tb.Helper()
	if s == nil || fn == nil {
		tb.Fatalf("idemtxtest: the store or the handler is nil")
		return
	}
	b, err := newBench(tb, s, r, options)
	if err != nil {
		tb.Fatalf("idemtxtest: %v", err)
		return
	}
	defer b.close()
	defer func() {
		if b.halted {
			_ = recover()
		}
	}()
	c := &trial[T]{bench: b, fn: fn}
	c.rehearse()
	c.watch()
	if b.tell() {
		return // the rest would follow from it
	}
	for _, at := range b.stops {
		c.cutAt(at)
	}
	c.runTwice()
	if !b.tell() {
		tb.Logf("idemtxtest: %s", b.summary())
	}
}

type requestKey struct{}

// Request returns the request that the handler runs for in [Crash], for
// [idemtx.DownstreamKey], or to make a name that no other run has. Elsewhere it is
// zero.
func Request(ctx context.Context) idemtx.Request {
	r, _ := ctx.Value(requestKey{}).(idemtx.Request)
	return r
}
