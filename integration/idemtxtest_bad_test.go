package integration

import (
	"context"
	"strconv"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemtx"
	"github.com/idemtx/idemtx/idemtxtest"
)

// attempts counts the runs for a key, of which two are in two goroutines.
type attempts struct {
	mu sync.Mutex
	n  map[string]int
}

func (a *attempts) next(key string) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.n == nil {
		a.n = make(map[string]int)
	}
	a.n[key]++
	return a.n[key]
}

// The handlers here fail for what they do in their transaction.
func TestCrashTellsWhatIsWrong(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		handler func(f *fixture) func(context.Context, pgx.Tx) (order, error)
		told    string
	}{
		"it ends its transaction": {
			func(f *fixture) func(context.Context, pgx.Tx) (order, error) {
				return func(ctx context.Context, tx pgx.Tx) (order, error) {
					o, err := f.effect(ctx, tx, "k")
					if err != nil {
						return o, err
					}
					_, err = tx.Exec(ctx, "COMMIT")
					return o, err
				}
			},
			"the first clean run: idemtx: the handler misused its transaction: it ended the transaction by SQL; what it has committed stays",
		},
		"it passes over a failure": {
			func(f *fixture) func(context.Context, pgx.Tx) (order, error) {
				return func(ctx context.Context, tx pgx.Tx) (order, error) {
					o, err := f.effect(ctx, tx, "k")
					_, _ = tx.Exec(ctx, "SELECT 1/0")
					return o, err
				}
			},
			"a statement failed and it returned no error",
		},
		"it panics": {
			func(*fixture) func(context.Context, pgx.Tx) (order, error) {
				return func(context.Context, pgx.Tx) (order, error) { panic("no") }
			},
			"the first clean run: the handler panics: no",
		},
		"it works once": {
			func(f *fixture) func(context.Context, pgx.Tx) (order, error) {
				var once sync.Once
				return func(ctx context.Context, tx pgx.Tx) (o order, err error) {
					once.Do(func() { o, err = f.effect(ctx, tx, "k") })
					return o, err
				}
			},
			"a clean run takes 3 trips to the server and another 2, so that there is no telling where to cut",
		},
		"it does as much as chance has it": {
			func(f *fixture) func(context.Context, pgx.Tx) (order, error) {
				runs := 0
				return func(ctx context.Context, tx pgx.Tx) (order, error) {
					runs++
					for range runs {
						if _, err := tx.Exec(ctx, "SELECT 1"); err != nil {
							return order{}, err
						}
					}
					return f.effect(ctx, tx, "k")
				}
			},
			"a clean run takes 4 trips to the server and another 6, so that there is no telling where to cut",
		},
		"it does nothing": {
			func(*fixture) func(context.Context, pgx.Tx) (order, error) {
				return func(context.Context, pgx.Tx) (order, error) { return order{}, nil }
			},
			"a clean run leaves no effect that can be seen",
		},
		"it counts its attempts": {
			func(f *fixture) func(context.Context, pgx.Tx) (order, error) {
				var made attempts
				return func(ctx context.Context, tx pgx.Tx) (order, error) {
					n := made.next(idemtxtest.Request(ctx).Key)
					o, err := f.effect(ctx, tx, "k")
					o.Note = strconv.Itoa(n)
					return o, err
				}
			},
			"the reply differs from one clean run's in /note\n\twhen it was cut before statement 1 (INSERT INTO",
		},
		"it charges for its attempts": {
			func(f *fixture) func(context.Context, pgx.Tx) (order, error) {
				var made attempts
				return func(ctx context.Context, tx pgx.Tx) (order, error) {
					_, err := tx.Exec(ctx, f.sql("UPDATE {schema}.accounts SET balance = balance + CASE name WHEN 'buyer' THEN -1 ELSE 1 END * $1"),
						made.next(idemtxtest.Request(ctx).Key))
					return order{}, err
				}
			},
			"the effects differ from one clean run's: {schema}.accounts: the rows updated differ in balance\n\twhen it was cut before statement 1 (UPDATE",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := withTable(t, "CREATE TABLE {schema}.accounts (name text PRIMARY KEY, balance int); "+
				"INSERT INTO {schema}.accounts VALUES ('buyer', 1000), ('seller', 0)", withMaxAttempts(1))
			require.Contains(t, crash(f, test.handler(f)).told(), f.sql(test.told))
		})
	}
}

// cashier is a payment provider that keeps to idempotency keys.
type cashier struct {
	mu      sync.Mutex
	charges map[string]int
}

func (p *cashier) charge(key string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.charges == nil {
		p.charges = make(map[string]int)
	}
	p.charges[key] = 10
}

func (p *cashier) list(context.Context) ([]int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var all []int
	for _, amount := range p.charges {
		all = append(all, amount)
	}
	return all, nil
}

// TestCrashSeesEffectsElsewhere calls a provider with a key that is the same in
// each run for one request, and with one that is another each time.
func TestCrashSeesEffectsElsewhere(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		key  func(ctx context.Context, run int) (string, error)
		told string
	}{
		"downstream key": {
			key: func(ctx context.Context, _ int) (string, error) {
				return idemtx.DownstreamKey(idemtxtest.Request(ctx), "charge")
			},
		},
		"any key": {
			key:  func(_ context.Context, run int) (string, error) { return strconv.Itoa(run), nil },
			told: "the effects differ from one clean run's: charges: 2 rows inserted, where one clean run has 1\n\twhen it was cut before statement 1 (SELECT ...",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, withMaxAttempts(1))
			var p cashier
			var runs attempts
			r := crash(f, func(ctx context.Context, tx pgx.Tx) (order, error) {
				key, err := test.key(ctx, runs.next(""))
				if err != nil {
					return order{}, err
				}
				p.charge(key)
				_, err = tx.Exec(ctx, "SELECT 1")
				return order{}, err
			}, idemtxtest.Effects("charges", p.list))
			if test.told == "" {
				requirePasses(f, r)
				return
			}
			require.Contains(t, r.told(), test.told)
			require.NotContains(t, r.told(), "outside its transaction")
		})
	}
}
