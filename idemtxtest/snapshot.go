package idemtxtest

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// maxRows is how many rows are read to look at the database once, which is done a
// few times for each cut.
const maxRows = 20_000

// errLocked means that a table cannot be read because another transaction holds
// it, as the handler's own after a TRUNCATE.
var errLocked = errors.New("a table is locked by another transaction")

// snapshot is what is committed at one moment, by table.
type snapshot map[string]*table

// table is the rows of one table, or a list of effects outside of the database.
type table struct {
	key      []string           // columns; none when rows cannot be told from each other
	floats   map[string]float64 // columns that are not exact, and what their values are rounded by
	rows     map[string]int     // JSON of a row, and how often it is there
	external bool
}

// eye is what looks at effects.
type eye struct {
	pool    *pgxpool.Pool
	own     string // the store's table, which is not an effect
	only    []string
	ignored []ignored
	effects []effects
}

//go:embed sql/tables.sql
var tablesSQL string

// A role that policies would hide rows from is told so by an error. Times and the
// like are to read the same whatever the connection is set to.
const settings = `SELECT set_config('row_security', 'off', true), set_config('lock_timeout', $1, true),
	set_config('TimeZone', 'UTC', true), set_config('DateStyle', 'ISO', true),
	set_config('IntervalStyle', 'postgres', true), set_config('extra_float_digits', '1', true),
	set_config('bytea_output', 'hex', true)`

// How long to wait for a table that is locked: until the server has seen that a
// connection is gone, or, while the handler waits to go on, hardly at all.
const (
	longLook  = "30s"
	shortLook = "50ms"
)

// look reads everything there is, at one moment: in one transaction whose
// snapshot does not change.
func (e *eye) look(ctx context.Context, lockTimeout string) (snapshot, error) {
	found := snapshot{}
	// The lists first: they may be of the same database, and change with it.
	for _, list := range e.effects {
		if err := found.list(ctx, list); err != nil {
			return nil, err
		}
	}
	err := pgx.BeginTxFunc(ctx, e.pool, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly},
		func(tx pgx.Tx) error { return e.read(ctx, tx, lockTimeout, found) })
	var pgErr *pgconn.PgError
	if errors.As(err, &pgErr) {
		switch pgErr.Code {
		case "55P03": // lock_not_available
			return nil, errLocked
		case "42P01", "3F000", "42703", "XX000": // undefined table, schema, column; a relation that is gone
			err = fmt.Errorf("tables change while they are read, so other programs work in this database; "+
				"name your own with idemtxtest.Only: %w", err)
		case "42501": // insufficient_privilege
			err = fmt.Errorf("the store's role may not see all rows: give idemtxtest.Observer a pool whose role may, "+
				"or leave the table out with idemtxtest.Ignore: %w", err)
		}
	}
	return found, err
}

// list adds what a user's list holds.
func (s snapshot) list(ctx context.Context, from effects) error {
	elements, err := from.list(ctx)
	if err != nil {
		return fmt.Errorf("list the effects %q: %w", from.name, err)
	}
	t := &table{rows: make(map[string]int), external: true}
	for _, element := range elements {
		t.rows[string(element)]++
	}
	return s.add(from.name, t)
}

// add adds a table. One that goes by the name of another would hide it.
func (s snapshot) add(name string, t *table) error {
	if s[name] != nil {
		return fmt.Errorf("idemtxtest.Effects: the name %q is taken", name)
	}
	s[name] = t
	return nil
}

// definition is a table in the catalog.
type definition struct {
	Schema, Name   string
	Partitioned    bool
	Readable       bool
	Columns, Key   []string
	Doubles, Reals []string
}

func (d *definition) String() string { return d.Schema + "." + d.Name }

func (e *eye) read(ctx context.Context, tx pgx.Tx, lockTimeout string, found snapshot) error {
	if _, err := tx.Exec(ctx, settings, lockTimeout); err != nil {
		return err
	}
	rows, _ := tx.Query(ctx, tablesSQL)
	all, err := pgx.CollectRows(rows, pgx.RowToAddrOfStructByName[definition])
	if err != nil {
		return err
	}
	definitions, err := e.choose(all)
	if err != nil {
		return err
	}
	left := maxRows
	b := &pgx.Batch{}
	for _, d := range definitions {
		t := &table{key: d.Key, floats: make(map[string]float64), rows: make(map[string]int)}
		for _, column := range d.Doubles {
			t.floats[column] = 0x1p-52
		}
		for _, column := range d.Reals {
			t.floats[column] = 0x1p-23
		}
		if err := found.add(d.String(), t); err != nil {
			return err
		}
		b.Queue(d.query()).Query(func(rows pgx.Rows) error {
			var row string
			_, err := pgx.ForEachRow(rows, []any{&row}, func() error {
				if left--; left < 0 {
					return fmt.Errorf("the tables hold more than %d rows: use a database of the test's own, "+
						"or name the tables that matter with idemtxtest.Only", maxRows)
				}
				t.rows[row]++
				return nil
			})
			return err
		})
	}
	return tx.SendBatch(ctx, b).Close()
}

// query reads the rows as JSON. Not jsonb, which would refuse some values of the
// type json. A column of the row's name would be taken for the row.
func (d *definition) query() string {
	columns := make([]string, len(d.Columns))
	for i, c := range d.Columns {
		columns[i] = pgx.Identifier{c}.Sanitize()
	}
	only := "ONLY "
	if d.Partitioned {
		only = ""
	}
	return fmt.Sprintf(`SELECT row_to_json("idemtxtest: row")::text FROM (SELECT %s FROM %s%s) "idemtxtest: row" LIMIT %d`,
		strings.Join(columns, ", "), only, pgx.Identifier{d.Schema, d.Name}.Sanitize(), maxRows+1)
}

// choose leaves what is to be looked at. A name that names nothing is an error:
// with a slip of the pen in it nothing would be looked at.
func (e *eye) choose(all []*definition) ([]*definition, error) {
	var chosen []*definition
	named := make(map[string]bool)
	for _, d := range all {
		named[d.Schema], named[d.String()] = true, true
		if d.String() == e.own || !e.chosen(d) {
			continue
		}
		whole, err := e.cover(d)
		switch {
		case err != nil:
			return nil, err
		case whole:
			continue
		case !d.Readable:
			return nil, fmt.Errorf("the store's role may not read %s: grant it SELECT, give idemtxtest.Observer a pool "+
				"whose role may, or leave the table out with idemtxtest.Ignore", d)
		}
		chosen = append(chosen, d)
	}
	for _, name := range e.only {
		if !named[name] {
			return nil, fmt.Errorf("idemtxtest.Only: there is no schema and no table %s, "+
				"where a table is named with its schema and without quotes", name)
		}
	}
	for _, i := range e.ignored {
		if !named[i.table] {
			return nil, fmt.Errorf("idemtxtest.Ignore: there is no table %s, "+
				"where a table is named with its schema and without quotes", i.table)
		}
	}
	return chosen, nil
}

func (e *eye) chosen(d *definition) bool {
	return len(e.only) == 0 || slices.Contains(e.only, d.Schema) || slices.Contains(e.only, d.String())
}

// cover takes away the columns that are ignored, or tells that the whole table is.
func (e *eye) cover(d *definition) (whole bool, err error) {
	all := slices.Clone(d.Columns)
	for _, i := range e.ignored {
		if i.table != d.String() {
			continue
		}
		if len(i.columns) == 0 {
			return true, nil
		}
		for _, column := range i.columns {
			if !slices.Contains(all, column) {
				return false, fmt.Errorf("idemtxtest.Ignore: %s has no column %s", d, column)
			}
		}
		ignored := func(column string) bool { return slices.Contains(i.columns, column) }
		d.Columns = slices.DeleteFunc(d.Columns, ignored)
		if slices.ContainsFunc(d.Key, ignored) {
			d.Key = nil
		}
	}
	return false, nil
}

// columns are a row's, by name. What is no object, as an element of a list may
// be, is one column.
func columns(row string) map[string]string {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal([]byte(row), &fields); err != nil || fields == nil {
		return map[string]string{"value": row}
	}
	c := make(map[string]string, len(fields))
	for name, value := range fields {
		c[name] = string(value)
	}
	return c
}
