package integration

import (
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemtx"
	"github.com/idemtx/idemtx/idemtxtest"
)

// asAnyone is a fixture as a role has it that may write orders and replies.
func asAnyone(t *testing.T, f *fixture) *fixture {
	t.Helper()
	role := newRole(t)
	exec(t, f.sql("GRANT USAGE ON SCHEMA {schema} TO "+quoted(role)+
		"; GRANT SELECT, INSERT, UPDATE, DELETE ON {schema}.idemtx_replies, {schema}.effects TO "+quoted(role)))
	return f.peer(withMaxAttempts(1), func(p *pgxpool.Config, _ *idemtx.Config) { asRole(role)(p) })
}

func (f *fixture) fails(told string, options ...idemtxtest.Option) {
	f.t.Helper()
	r := crash(f, f.handler("k"), options...)
	require.Len(f.t, r.failures, 1)
	require.Contains(f.t, r.told(), f.sql(told))
	exec(f.t, "DELETE FROM "+f.table())
}

func (f *fixture) passes(options ...idemtxtest.Option) *recorder {
	f.t.Helper()
	r := crash(f, f.handler("k"), options...)
	requirePasses(f, r)
	return r
}

func TestCrashSaysWhatItMayNotRead(t *testing.T) {
	t.Parallel()
	f := withTable(t, audit, withMaxAttempts(1))
	p := asAnyone(t, f)
	p.fails("the store's role may not read {schema}.audit: grant it SELECT")
	r := p.passes(idemtxtest.Ignore(f.schema + ".audit"))
	require.Contains(t, r.logs[0], "could not end its own sessions") // it is another role that has logged in
	p.passes(idemtxtest.Observer(f.pool))
}

func TestCrashSaysWhatPoliciesHide(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	exec(t, f.sql("ALTER TABLE {schema}.effects ENABLE ROW LEVEL SECURITY; CREATE POLICY all_rows ON {schema}.effects USING (true)"))
	p := asAnyone(t, f)
	p.fails("the store's role may not see all rows: give idemtxtest.Observer a pool whose role may")
	p.passes(idemtxtest.Observer(f.pool))
}

func TestCrashSaysWhatIsNotThere(t *testing.T) {
	t.Parallel()
	f := newFixture(t, withMaxAttempts(1))
	f.fails("idemtxtest.Only: there is no schema and no table {schema}.efects", idemtxtest.Only(f.schema+".efects"))
	f.fails("idemtxtest.Ignore: there is no table {schema}.efects", idemtxtest.Ignore(f.schema+".efects"))
	f.fails("idemtxtest.Ignore: {schema}.effects has no column kee", idemtxtest.Ignore(f.schema+".effects", "kee"))
	f.fails("a clean run leaves no effect that can be seen", idemtxtest.Ignore(f.schema+".effects"))
}

func TestCrashSaysWhatIsTooMuch(t *testing.T) {
	t.Parallel()
	f := newFixture(t, withMaxAttempts(1))
	exec(t, f.sql("INSERT INTO {schema}.effects (key) SELECT 'k' FROM generate_series(1, 20000)"))
	f.fails("the tables hold more than 20000 rows")
}

func TestCrashSaysWhatTheUsersFunctionsSay(t *testing.T) {
	t.Parallel()
	f := newFixture(t, withMaxAttempts(1))
	broken := errors.New("broken")
	f.fails("Reset: broken", idemtxtest.Reset(func(context.Context) error { return broken }))
	f.fails(`list the effects "charges": broken`,
		idemtxtest.Effects("charges", func(context.Context) ([]int, error) { return nil, broken }))
	f.fails(`an element of charges has no JSON`,
		idemtxtest.Effects("charges", func(context.Context) ([]func(), error) { return []func(){nil}, nil }))
	f.fails(`idemtxtest.Effects: the name "{schema}.effects" is taken`,
		idemtxtest.Effects(f.schema+".effects", func(context.Context) ([]int, error) { return nil, nil }))
}

// A column that is one of two by chance looks the same in the clean runs as often
// as not.
func TestCrashIgnoresColumns(t *testing.T) {
	t.Parallel()
	f := withTable(t, "CREATE TABLE {schema}.coins (side bool, note text)", withMaxAttempts(1))
	r := crash(f, func(ctx context.Context, tx pgx.Tx) (order, error) {
		_, err := tx.Exec(ctx, f.sql("INSERT INTO {schema}.coins VALUES ($1, 'k')"), rand.N(2) == 0)
		return order{}, err
	}, idemtxtest.Ignore(f.schema+".coins", "side"))
	requirePasses(f, r)
	require.Contains(t, strings.Join(r.logs, "\n"), "compared in note")
}

// In the simple protocol the arguments are a part of the text.
func TestCrashShowsNoArguments(t *testing.T) {
	t.Parallel()
	f := withTable(t, audit, withMaxAttempts(1), withExecMode(pgx.QueryExecModeSimpleProtocol))
	r := crash(f, func(ctx context.Context, tx pgx.Tx) (order, error) {
		if _, err := tx.Exec(ctx, "SELECT $1::text, $2::int", "secret", 4711); err != nil {
			return order{}, err
		}
		_, err := f.pool.Exec(ctx, f.sql("INSERT INTO {schema}.audit VALUES ($1)"), "secret")
		return order{Note: "secret"}, err
	})
	require.Contains(t, r.told(), "when a crash comes before COMMIT")
	require.NotContains(t, r.told(), "secret")
	require.NotContains(t, r.told(), "4711")
}

// Tables may be of any kind, be called anything, and hold what jsonb does not take.
func TestCrashLooksAtAllKindsOfTables(t *testing.T) {
	t.Parallel()
	f := withTable(t, `
		CREATE TABLE {schema}."An ""odd"" one" ("a ""b""" json, f float8, n numeric, at timestamptz, g int GENERATED ALWAYS AS (7) STORED);
		CREATE TABLE {schema}.parts (id int PRIMARY KEY, note text) PARTITION BY LIST (id);
		CREATE TABLE {schema}.part PARTITION OF {schema}.parts DEFAULT;
		CREATE TABLE {schema}.parent (note text);
		CREATE TABLE {schema}.child () INHERITS ({schema}.parent);
		CREATE TABLE {schema}.nothing ();
		CREATE UNLOGGED TABLE {schema}.unlogged (note text);
		CREATE VIEW {schema}.view AS SELECT * FROM {schema}.unlogged;
		INSERT INTO {schema}.parts VALUES (1, 'a')`, withMaxAttempts(1))
	r := crash(f, func(ctx context.Context, tx pgx.Tx) (order, error) {
		b := &pgx.Batch{}
		b.Queue(f.sql(`INSERT INTO {schema}."An ""odd"" one" VALUES ('"\u0000"', 'Infinity', 'NaN', '-infinity')`))
		b.Queue(f.sql(`UPDATE {schema}.parts SET note = note || 'a'`))
		b.Queue(f.sql(`INSERT INTO {schema}.child VALUES ('a')`))
		b.Queue(f.sql(`INSERT INTO {schema}.nothing DEFAULT VALUES`))
		b.Queue(f.sql(`INSERT INTO {schema}.view VALUES ('a')`))
		b.Queue(`CREATE TEMPORARY TABLE scratch ON COMMIT DROP AS SELECT 1`)
		return order{}, tx.SendBatch(ctx, b).Close()
	})
	requirePasses(f, r)
	_, seen, _ := strings.Cut(r.logs[0], "\n")
	require.Equal(t, f.sql(`	{schema}.An "odd" one: 1 row inserted, compared in a "b", at, f, g, n
	{schema}.child: 1 row inserted, compared in note
	{schema}.nothing: 1 row inserted, of which no column is compared
	{schema}.parts: 1 row updated, compared in id
	{schema}.unlogged: 1 row inserted, compared in note`), seen)
}
