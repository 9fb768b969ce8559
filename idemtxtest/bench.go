package idemtxtest

import (
	"context"
	"crypto/rand"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/idemtx/idemtx/idemtx"
)

// patience is how long a run waits for another with its key: until the server has
// seen that a connection is gone. The whole run has a little longer.
const patience = time.Minute

// bench is what a handler is tried on.
type bench struct {
	tb      testing.TB
	ctx     context.Context
	request idemtx.Request
	config  idemtx.Config
	reset   func(context.Context) error
	eye     eye
	report  report

	plain  *pgxpool.Pool // nothing breaks here
	store  *idemtx.Store // on plain
	wire   *wire
	second *wire // the second copy's

	series string // the beginning of all keys
	keys   []string
	cases  int

	unended  bool // the server's sessions could not be ended
	founded  bool // the first run has inserted what later ones update
	halted   bool // and is not to go on
	panicked sync.Once
	bound    time.Duration // of a run

	start, last snapshot // when the case began, and of the last look
	samples     []sample
	stops       []stop // of a clean run
	expect      *expectation
	model       model
}

func newBench(tb testing.TB, s *idemtx.Store, r idemtx.Request, given []Option) (*bench, error) {
	tb.Helper()
	var o options
	for _, option := range given {
		option(&o)
	}
	b := &bench{tb: tb, ctx: tb.Context(), request: r, config: s.Config(), reset: o.reset, bound: patience + patience/2}
	b.series = r.Key[:min(len(r.Key), 200)] + "~" + rand.Text() + "~"
	b.request.OnDuplicate = idemtx.Wait
	b.config.OnDuplicate, b.config.MaxWait = idemtx.Wait, max(b.config.MaxWait, patience)

	var err error
	pool := s.Pool().Config()
	if b.plain, err = pgxpool.NewWithConfig(b.ctx, quiet(pool)); err != nil {
		return nil, err
	}
	if b.wire, err = newWire(b.ctx, pool); err != nil {
		return nil, err
	}
	if b.second, err = newWire(b.ctx, pool); err != nil {
		return nil, err
	}
	if b.store, err = idemtx.New(b.plain, b.config); err != nil {
		return nil, err
	}
	b.eye = eye{
		pool: b.plain, own: b.config.Schema + "." + b.config.Table,
		only: o.only, ignored: o.ignored, effects: o.effects,
	}
	if o.eye != nil {
		b.eye.pool = o.eye
	}
	return b, nil
}

// open makes a store of the same table on pool.
func (b *bench) open(pool *pgxpool.Pool, attempts int) *idemtx.Store {
	b.tb.Helper()
	config := b.config
	config.MaxAttempts = attempts
	s, err := idemtx.New(pool, config)
	if err != nil {
		b.fatalf("%v", err)
	}
	return s
}

// close deletes the replies and closes the pools. After a failure the replies are
// kept, for whoever looks for its cause.
func (b *bench) close() {
	ctx := context.WithoutCancel(b.ctx)
	if !b.tb.Failed() {
		table := pgx.Identifier{b.config.Schema, b.config.Table}.Sanitize()
		_, err := b.plain.Exec(ctx, "DELETE FROM "+table+" WHERE scope = $1 AND key = ANY ($2)", b.request.Scope.Key(), b.keys)
		if err != nil {
			b.tb.Errorf("idemtxtest: delete the replies: %v", err)
		}
	}
	b.wire.pool.Close()
	b.second.pool.Close()
	b.plain.Close()
}

// key returns one that was never used.
func (b *bench) key() string {
	key := fmt.Sprint(b.series, len(b.keys))
	b.keys = append(b.keys, key)
	return key
}

// begin begins a case.
func (b *bench) begin() {
	b.tb.Helper()
	b.cases++
	if b.reset != nil {
		if err := b.reset(b.ctx); err != nil {
			b.fatalf("Reset: %v", err)
		}
		b.last = nil
	}
	// Otherwise the last look is also the first: what a goroutine that the handler
	// has left behind writes between two cases is not lost between two looks.
	if b.last == nil {
		b.last = b.look()
	}
	b.start = b.last
}

// fatalf tells what is known to be wrong, and why there is no going on.
func (b *bench) fatalf(format string, args ...any) {
	b.tb.Helper()
	b.tell()
	b.tb.Fatalf("idemtxtest: "+format, args...)
	// The Fatalf of a test's double may return. To go on would be to report what
	// follows from the failure, and no wrong of the handler's.
	b.halted = true
	panic("idemtxtest: Fatalf has returned")
}

// tell fails the test for what is known to be wrong, and returns whether there is
// any.
func (b *bench) tell() bool {
	b.tb.Helper()
	told := b.report.tell(b.tb)
	if told && len(b.eye.only) == 0 {
		b.tb.Logf("idemtxtest: all tables of the database were looked at. If something else writes to one that is named here, " +
			"such as another test, leave that table out with idemtxtest.Only.")
	}
	return told
}

func (b *bench) look() snapshot {
	b.tb.Helper()
	s, err := b.eye.look(b.ctx, longLook)
	if err != nil {
		b.fatalf("look at the effects: %v", err)
	}
	return s
}

// changed is what has changed since the case began.
func (b *bench) changed() delta {
	b.tb.Helper()
	b.last = b.look()
	return between(b.start, b.last)
}

// summary says what was done, and what was not compared.
func (b *bench) summary() string {
	var text strings.Builder
	fmt.Fprintf(&text, "%s at %s", plural(b.cases, "case"), plural(len(b.stops), "trip"))
	if b.unended {
		text.WriteString(", but the store's role could not end its own sessions in the server, as behind PgBouncer")
	}
	if b.founded {
		text.WriteString("\n\tthe first run is not compared: it has inserted rows that later ones update")
	}
	for _, p := range b.expect.parts() {
		fmt.Fprintf(&text, "\n\t%s: %s %s", p.table, plural(len(b.expect.rows(p.table, p.kind)), "row"), p.kind)
		switch columns := b.expect.compared(p); {
		case b.expect.loose[p]:
			text.WriteString(", counted")
		case len(columns) == 0:
			text.WriteString(", of which no column is compared")
		default:
			text.WriteString(", compared in " + strings.Join(columns, ", "))
		}
	}
	return text.String()
}
