package idemtxtest

import (
	"context"
	"crypto/rand"
	"slices"
	"strings"
	"sync"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/idemtx/idemtx/internal/pgwire"
)

// wire is a pool whose connections break where a script says.
type wire struct {
	pool *pgxpool.Pool
	name string // of its sessions, for pg_stat_activity

	mu     sync.Mutex
	script *script
}

// script follows the trips of one transaction, from BEGIN to COMMIT, and decides
// on their fate. What comes before, as from a hook of the pool's, after, or on
// another connection, as the inquiry about a COMMIT that was lost, is delivered.
type script struct {
	options pgx.TxOptions
	meet    func(stop) pgwire.Fate // nil: all are delivered

	mu         sync.Mutex
	stops      []stop
	statements int
	refused    bool // what the handler has written is undone, and its reply is kept
	over       bool
	backend    uint32
}

// stop is a trip of a run on which a script decides.
type stop struct {
	number int // in the run, from 0
	place  string
	ends   bool // with COMMIT
	trip   *pgwire.Trip
}

// newWire makes a wire to the same database that config connects to.
func newWire(ctx context.Context, config *pgxpool.Config) (*wire, error) {
	w := &wire{name: "idemtxtest " + rand.Text()}
	config = config.Copy()
	config.ConnConfig.RuntimeParams["application_name"] = w.name
	pgwire.Inject(&config.ConnConfig.Config, w.judge)
	var err error
	w.pool, err = pgxpool.NewWithConfig(ctx, quiet(config))
	return w, err
}

// quiet makes a pool do nothing of its own accord: a ping is a trip, too.
func quiet(config *pgxpool.Config) *pgxpool.Config {
	config = config.Copy()
	config.MinConns, config.MinIdleConns = 0, 0
	config.MaxConns = max(config.MaxConns, 4)
	config.ShouldPing = func(context.Context, pgxpool.ShouldPingParams) bool { return false }
	return config
}

// arm lets a script decide on the trips to come, until the next one does.
func (w *wire) arm(options pgx.TxOptions, meet func(stop) pgwire.Fate) *script {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.script = &script{options: options, meet: meet}
	return w.script
}

func (w *wire) judge(t *pgwire.Trip) pgwire.Fate {
	w.mu.Lock()
	s := w.script
	w.mu.Unlock()
	if s == nil || len(t.Statements) == 0 {
		return pgwire.Deliver
	}
	at, ok := s.enter(t)
	if !ok || s.meet == nil {
		return pgwire.Deliver
	}
	return s.meet(at) // without the lock: it may take its time
}

// enter counts a trip. It returns false for one that is not of the transaction.
func (s *script) enter(t *pgwire.Trip) (stop, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	at := stop{number: len(s.stops), trip: t, ends: s.commits(t)}
	begins := starts(t, s.options.BeginQuery, "begin")
	switch {
	case s.over, at.number == 0 && !begins, at.number > 0 && t.Backend != s.backend:
		return stop{}, false
	}
	s.backend = t.Backend
	s.refused = s.refused || undoes(t)
	switch {
	case undoes(t):
		at.place = "ROLLBACK"
	case begins:
		at.place = "BEGIN"
	case at.ends:
		at.place = "COMMIT"
	default:
		first := s.statements + 1
		s.statements += len(t.Statements)
		at.place = named(first, s.statements, strings.Join(t.Statements, "; "))
	}
	if s.refused {
		at.place += " of the refusal"
	}
	s.over = at.ends
	s.stops = append(s.stops, at)
	return at, true
}

// run are the stops that the script has come by.
func (s *script) run() []stop {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stops
}

func (s *script) commits(t *pgwire.Trip) bool {
	custom := s.options.CommitQuery
	return t.Commits() || custom != "" && t.Statements[len(t.Statements)-1] == custom
}

// undoes tells whether the trip undoes the handler's transaction, which is Do's to
// do. In the simple protocol a batch is one text.
func undoes(t *pgwire.Trip) bool {
	return slices.ContainsFunc(t.Statements, func(text string) bool {
		return slices.ContainsFunc(strings.Split(text, ";"), func(statement string) bool {
			return strings.TrimSpace(statement) == "rollback"
		})
	})
}

func starts(t *pgwire.Trip, custom, standard string) bool {
	first := strings.ToLower(t.Statements[0])
	return strings.HasPrefix(first, standard) || custom != "" && strings.HasPrefix(t.Statements[0], custom)
}
