package integration

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/idemtx/idemtx/idemtxtest"
)

// recorder is a test that is allowed to fail.
type recorder struct {
	testing.TB
	mu       sync.Mutex
	failures []string
	logs     []string
}

func (r *recorder) Helper() {}

func (r *recorder) Errorf(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failures = append(r.failures, fmt.Sprintf(format, args...))
}

func (r *recorder) Fatalf(format string, args ...any) {
	r.Errorf(format, args...)
	runtime.Goexit()
}

func (r *recorder) Fatal(args ...any) {
	r.Errorf("%s", fmt.Sprint(args...))
	runtime.Goexit()
}

func (r *recorder) Logf(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.logs = append(r.logs, fmt.Sprintf(format, args...))
}

func (r *recorder) Failed() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.failures) > 0
}

// told is all that the test was told.
func (r *recorder) told() string { return strings.Join(r.failures, "\n") }

// crash runs the crash matrix on a handler in the fixture's schema, and returns
// what a test would be told.
func crash[T any](f *fixture, fn func(context.Context, pgx.Tx) (T, error), options ...idemtxtest.Option) *recorder {
	f.t.Helper()
	r := &recorder{TB: f.t}
	ended := make(chan struct{})
	go func() { // which a fatal failure ends
		defer close(ended)
		idemtxtest.Crash(r, f.store, f.request("k"), fn, append(options, idemtxtest.Only(f.schema))...)
	}()
	<-ended
	return r
}

// withTable has a table beside that of the effects, in the fixture's schema.
func withTable(tb testing.TB, definition string, options ...option) *fixture {
	tb.Helper()
	f := newFixture(tb, options...)
	exec(tb, strings.ReplaceAll(definition, "{schema}", f.schema))
	return f
}

// sql is a statement in the fixture's schema.
func (f *fixture) sql(text string) string { return strings.ReplaceAll(text, "{schema}", f.schema) }
