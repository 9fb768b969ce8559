package integration

import (
	"context"
	"errors"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemtx"
)

// audit is a table that handlers should write in their transaction.
const audit = "CREATE TABLE {schema}.audit (note text)"

const writesAudit = "INSERT INTO {schema}.audit VALUES ('secret')"

// The handlers here write through the pool.
func TestCrashNamesWhoWritesOutside(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		handler func(f *fixture, ctx context.Context, tx pgx.Tx) error
		told    []string
	}{
		"beside its transaction": {
			func(f *fixture, ctx context.Context, _ pgx.Tx) error {
				_, err := f.pool.Exec(ctx, f.sql(writesAudit))
				return err
			},
			[]string{
				"{schema}.audit has 1 row more",
				"after the transaction was rolled back",
				"when a crash comes before statement 1 (INSERT INTO {schema}.effects",
			},
		},
		"and takes it back": {
			func(f *fixture, ctx context.Context, tx pgx.Tx) error {
				if _, err := f.pool.Exec(ctx, f.sql(writesAudit)); err != nil {
					return err
				}
				if _, err := tx.Exec(ctx, "SELECT 1"); err != nil {
					return err
				}
				_, err := f.pool.Exec(ctx, f.sql("DELETE FROM {schema}.audit"))
				return err
			},
			[]string{"{schema}.audit has 1 row more\n\twhen a crash comes before statement 1 (SELECT ...)"},
		},
		"when it fails": {
			func(f *fixture, ctx context.Context, tx pgx.Tx) error {
				_, err := tx.Exec(ctx, "SELECT 1")
				if err != nil {
					_, auditErr := f.pool.Exec(context.WithoutCancel(ctx), f.sql(writesAudit))
					err = errors.Join(err, auditErr)
				}
				return err
			},
			[]string{
				"{schema}.audit has 1 row more\n\tafter it was cut before statement 1 (SELECT ...)",
				"after it was given up by the caller, whose context ends, at statement 1 (SELECT ...)",
			},
		},
		"instead of failing": {
			func(f *fixture, ctx context.Context, tx pgx.Tx) error {
				_, err := tx.Exec(ctx, f.sql(writesAudit))
				if err != nil {
					_, err = f.pool.Exec(context.WithoutCancel(ctx), f.sql(writesAudit))
				}
				return err
			},
			[]string{
				"{schema}.audit has 1 row more\n\tafter it was cut before statement 1 (INSERT INTO {schema}.audit VALUES ( ...)",
			},
		},
		"and refuses": {
			func(f *fixture, ctx context.Context, tx pgx.Tx) error {
				if _, err := tx.Exec(ctx, f.sql(writesAudit)); err != nil {
					return err
				}
				if _, err := f.pool.Exec(ctx, f.sql(writesAudit)); err != nil {
					return err
				}
				return idemtx.ErrRefused
			},
			[]string{"{schema}.audit has 1 row more\n\tafter the transaction was rolled back\n\twhen a crash comes before ROLLBACK of the refusal"},
		},
		"a change": {
			func(f *fixture, ctx context.Context, _ pgx.Tx) error {
				_, err := f.pool.Exec(ctx, f.sql("UPDATE {schema}.stock SET left_over = left_over - 1"))
				return err
			},
			[]string{"in {schema}.stock, 1 row changed"},
		},
		"a deletion": {
			func(f *fixture, ctx context.Context, _ pgx.Tx) error {
				_, err := f.pool.Exec(ctx, f.sql("DELETE FROM {schema}.carts WHERE id = (SELECT min(id) FROM {schema}.carts)"))
				return err
			},
			[]string{"{schema}.carts has 1 row less"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := withTable(t, audit+`; CREATE TABLE {schema}.stock (left_over int); INSERT INTO {schema}.stock VALUES (1000);
				CREATE TABLE {schema}.carts (id int); INSERT INTO {schema}.carts SELECT generate_series(1, 100)`, withMaxAttempts(1))
			r := crash(f, func(ctx context.Context, tx pgx.Tx) (order, error) {
				if err := test.handler(f, ctx, tx); err != nil {
					return order{}, err
				}
				return f.effect(ctx, tx, "k")
			})
			for _, told := range test.told {
				require.Contains(t, r.told(), f.sql(told))
			}
			require.Contains(t, r.failures[0], "the handler writes outside its transaction")
			require.NotContains(t, r.told(), "secret")
		})
	}
}

// late leaves a goroutine behind that writes when its transaction is over, and
// for which the next run waits: as late as can be, and always in time to be seen.
type late struct {
	f     *fixture
	tx    chan struct{} // closed when the next run begins
	wrote chan error
}

func (l *late) handler(ctx context.Context, tx pgx.Tx) (order, error) {
	if l.tx != nil {
		close(l.tx)
		if err := <-l.wrote; err != nil {
			return order{}, err
		}
	}
	l.tx, l.wrote = make(chan struct{}), make(chan error, 1)
	go func(next <-chan struct{}, wrote chan<- error) {
		<-next
		_, err := l.f.pool.Exec(context.WithoutCancel(ctx), l.f.sql(writesAudit))
		wrote <- err
	}(l.tx, l.wrote)
	return l.f.effect(ctx, tx, "k")
}

func TestCrashNamesAGoroutineThatWritesLater(t *testing.T) {
	t.Parallel()
	f := withTable(t, audit, withMaxAttempts(1))
	l := &late{f: f}
	r := crash(f, l.handler)
	close(l.tx)
	require.NoError(t, <-l.wrote)
	require.Contains(t, r.told(), f.sql("the handler writes outside its transaction: {schema}.audit has 1 row more\n\tafter the transaction was rolled back"))
	require.Contains(t, r.told(), f.sql("clean runs differ:\n\t{schema}.audit: 1 row inserted, where another clean run has 0"))
}
