package idemtxtest

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/jackc/pgx/v5/pgxpool"
)

// Option changes what [Crash] looks at, or how it prepares a run.
type Option func(*options)

// options are what the Options of a call come to.
type options struct {
	only    []string
	ignored []ignored
	reset   func(context.Context) error
	effects []effects
	eye     *pgxpool.Pool // nil: the store's own role looks
}

// ignored are columns of a table, or the whole of it when there are none.
type ignored struct {
	table   string
	columns []string
}

// effects is a list that the user keeps of effects outside of the database.
type effects struct {
	name string
	list func(ctx context.Context) ([]json.RawMessage, error)
}

// Only limits what is looked at to the named schemas ("sales") and tables
// ("sales.orders"), written without quotes. Everything else is free to change,
// and what the handler does there is not seen.
//
// Without it, Crash looks at every table of the database.
func Only(names ...string) Option {
	return func(o *options) { o.only = append(o.only, names...) }
}

// Ignore leaves columns of a table ("sales.orders") out, or the whole table when
// no column is named. A column needs it when its value is one of a few by chance,
// or a time to the minute, so that clean runs may happen to agree on it.
func Ignore(table string, columns ...string) Option {
	return func(o *options) { o.ignored = append(o.ignored, ignored{table, columns}) }
}

// Reset is called before each case, to bring the database, and what else the
// handler finds, back to where a run begins. A handler needs it that cannot run
// twice with two keys, because it takes the last seat or a unique name. With it,
// all runs begin alike, and Crash compares more: see the package's documentation.
func Reset(reset func(ctx context.Context) error) Option {
	return func(o *options) { o.reset = reset }
}

// Effects has Crash look at effects outside of the database, such as the charges
// that a fake payment provider has made. list returns all there are; they are
// compared like the rows of a table, by their JSON. The name stands for them in a
// failure.
//
// No rollback undoes such effects, so they may be there after a run that was cut.
// After its retry there must be those of one clean run. A provider that the
// handler calls with [idemtx.DownstreamKey] of [Request] makes it so.
func Effects[E any](name string, list func(ctx context.Context) ([]E, error)) Option {
	rows := func(ctx context.Context) ([]json.RawMessage, error) {
		elements, err := list(ctx)
		if err != nil {
			return nil, err
		}
		rows := make([]json.RawMessage, len(elements))
		for i, e := range elements {
			if rows[i], err = json.Marshal(e); err != nil {
				return nil, fmt.Errorf("an element of %s has no JSON: %w", name, err)
			}
		}
		return rows, nil
	}
	return func(o *options) { o.effects = append(o.effects, effects{name, rows}) }
}

// Observer reads the tables through pool, for a store whose role may not see all
// rows, as under row-level security. It has to be of the same database.
func Observer(pool *pgxpool.Pool) Option {
	return func(o *options) { o.eye = pool }
}
