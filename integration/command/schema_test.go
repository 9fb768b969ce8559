package command

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemtx"
)

// verdict is what schema verify --json and schema apply --json tell.
type verdict struct {
	OK          bool
	Differences []struct{ Text, Cure string }
}

// The SQL is that of the library, and no database is needed for it.
func TestSchemaPrint(t *testing.T) {
	t.Parallel()
	f := newEmpty(t)
	r := (&run{f: f}).with("--database-url", "postgres://127.0.0.1:1/nothing", "schema", "print").exits(0)
	require.Equal(t, f.store.SchemaSQL(), r.out)
	f.exec(r.out)
	f.command("schema", "verify").exits(0)
	told := decode[struct{ SQL string }]((&run{f: f}).with("schema", "print", "--json").exits(0))
	require.Equal(t, f.store.SchemaSQL(), told.SQL)
}

func TestSchemaInPartitions(t *testing.T) {
	t.Parallel()
	parted := withConfig(func(c *idemtx.Config) { c.Partitions = 3 })
	f := newEmpty(t, parted)
	require.Equal(t, f.store.SchemaSQL(), (&run{f: f}).with("schema", "print", "--partitions", "3").exits(0).out)
	f.command("schema", "apply", "--partitions", "3").exits(0)
	require.Equal(t, 3, ask[int](f, "SELECT count(*) FROM pg_inherits WHERE inhparent = '{table}'::regclass"))
	f.command("schema", "verify").exits(0)
	require.Contains(t, f.command("schema", "print", "--partitions", "1").exits(2).err, "Partitions")
}

func TestSchemaApply(t *testing.T) {
	t.Parallel()
	f := newEmpty(t)
	require.Contains(t, f.command("schema", "apply").exits(0).out, "ok")
	require.NoError(t, f.store.VerifySchema(t.Context()))
	require.True(t, decode[verdict](f.command("schema", "apply", "--json").exits(0)).OK)

	// What is there is left alone.
	f.exec("DROP INDEX " + f.schema + ".idemtx_replies_expires_at_idx")
	require.Contains(t, f.command("schema", "apply").exits(1).out, "differs")
	require.Error(t, f.store.VerifySchema(t.Context()))
}

func TestSchemaVerify(t *testing.T) {
	t.Parallel()
	f := newEmpty(t)
	require.Contains(t, f.command("schema", "verify").exits(1).out, "missing")
	require.NoError(t, f.store.CreateSchema(t.Context()))
	v := decode[verdict](f.command("schema", "verify", "--json").exits(0))
	require.True(t, v.OK)
	require.NotNil(t, v.Differences)

	f.exec("ALTER TABLE {table} DROP CONSTRAINT key_length, ALTER refused DROP DEFAULT")
	r := f.command("schema", "verify").exits(1)
	require.Empty(t, r.err)
	v = decode[verdict](f.command("schema", "verify", "--json").exits(1))
	require.False(t, v.OK)
	require.Len(t, v.Differences, 2)
	for _, d := range v.Differences {
		require.Contains(t, r.out, d.Text)
		require.Contains(t, r.out, d.Cure)
		require.NotContains(t, d.Text, "cure:")
		require.True(t, strings.HasPrefix(d.Cure, "ALTER TABLE"))
	}
}

// What diff prints puts the table right, whatever the name, and is nothing then.
func TestSchemaDiff(t *testing.T) {
	t.Parallel()
	for name, harm := range map[string]string{
		"missing":    "SELECT 1",
		"constraint": "ALTER TABLE {table} DROP CONSTRAINT key_length, ALTER refused DROP DEFAULT",
		"column":     "ALTER TABLE {table} DROP COLUMN sealed",
		"index":      "DROP INDEX {schema}.idemtx_replies_expires_at_idx",
		"unlogged":   "ALTER TABLE {table} SET UNLOGGED",
		"taken":      "DROP TABLE {table}; CREATE VIEW {table} AS SELECT 1",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newEmpty(t)
			if name != "missing" {
				require.NoError(t, f.store.CreateSchema(t.Context()))
			}
			f.exec(strings.ReplaceAll(harm, "{schema}", f.schema))
			r := f.command("schema", "diff").exits(1)
			require.Empty(t, r.err)
			require.Equal(t, r.out, strings.Join(decode[[]string](f.command("schema", "diff", "--json").exits(1)), "\n")+"\n")
			f.exec(r.out)
			require.Empty(t, f.command("schema", "diff").exits(0).out)
			require.Empty(t, decode[[]string](f.command("schema", "diff", "--json").exits(0)))
		})
	}
}

// A name that would end a comment, or a statement, does neither.
func TestSchemaDiffOfANastyName(t *testing.T) {
	t.Parallel()
	f := newEmpty(t)
	nasty := *f
	nasty.schema = "quoted \" and \n{index} " + f.schema
	schema := `"` + strings.ReplaceAll(nasty.schema, `"`, `""`) + `"`
	t.Cleanup(func() { f.exec("DROP SCHEMA IF EXISTS " + schema + " CASCADE") })
	f.exec(nasty.command("schema", "diff").exits(1).out)
	nasty.command("schema", "verify").exits(0)
	for _, args := range [][]string{{"stats"}, {"sweep"}, {"doctor"}, {"lookup", "--principal", "p", "k"}} {
		require.Empty(t, nasty.command(args...).err)
	}
	f.exec("ALTER TABLE " + schema + ".idemtx_replies DROP CONSTRAINT key_length")
	f.exec(nasty.command("schema", "diff").exits(1).out)
	nasty.command("schema", "verify").exits(0)
}
