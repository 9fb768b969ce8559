package command

import (
	"bufio"
	"context"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemtx"
)

// swept is what sweep --json tells.
type swept struct {
	Deleted, Buried, Left int64
	Interrupted           bool
}

func TestSweep(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.stored(key)
	f.due(25)
	require.Equal(t, "25 rows are due; nothing is deleted\n", f.command("sweep", "--dry-run").exits(0).out)
	require.EqualValues(t, 25, decode[struct{ Due int64 }](f.command("sweep", "--dry-run", "--json").exits(0)).Due)
	require.Equal(t, 26, f.rows())

	require.Equal(t, swept{Deleted: 7, Left: 18}, decode[swept](f.command("sweep", "--json", "--max", "7", "--batch", "5", "--pause", "0").exits(0)))
	r := f.command("sweep", "--batch", "5", "--pause", "1ms").exits(0)
	require.Equal(t, "18 rows deleted, 0 left\n", r.out)
	require.True(t, strings.HasPrefix(r.err, "5 of 18 rows, "), r.err)
	require.NotContains(t, r.err, "\x1b")
	require.Equal(t, 1, f.rows())
	r = f.command("sweep").exits(0)
	require.Equal(t, "0 rows deleted, 0 left\n", r.out)
	require.Empty(t, r.err)
}

// Of a key that is retained the reply goes, which is told apart.
func TestSweepBuries(t *testing.T) {
	t.Parallel()
	f := newFixture(t, withConfig(func(c *idemtx.Config) { c.OnExpired, c.Retention = idemtx.RefuseExpired, 48*time.Hour }))
	f.stored(key)
	f.age(key, "25 hours")
	f.due(2)
	r := f.command("sweep").exits(0)
	require.Equal(t, "2 rows deleted, 1 retained without their reply, 0 left\n", r.out)
	require.Equal(t, 1, f.rows())
	f.age(key, "48 hours")
	require.Equal(t, swept{Deleted: 1}, decode[swept](f.command("sweep", "--json").exits(0)))
}

// On a terminal there is a bar, with how fast it goes and how long it will. It stays
// as it is when the sweep is interrupted.
func TestSweepOnATerminal(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.due(25)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r := &run{f: f, ctx: ctx, terminal: true, heard: func(text string) {
		if contains(text, "10 of 25 rows", "rows/s") {
			cancel()
		}
	}}
	r.with("--database-url", f.url, "sweep", "--batch", "10", "--pause", "1h").exits(1)
	require.Equal(t, "interrupted: 10 rows deleted, 15 left\n", r.out)
	require.NotContains(t, r.err, "done")

	r = (&run{f: f, terminal: true}).with("--database-url", f.url, "sweep", "--batch", "10").exits(0)
	require.Equal(t, "15 rows deleted, 0 left\n", r.out)
	require.Contains(t, r.err, "15 of 15 rows")
	require.Contains(t, r.err, "done")
}

// After a Ctrl-C what is done stays done, and the next run goes on from there.
func TestSweepIsInterrupted(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.due(25)
	ctx, cancel := context.WithCancel(t.Context())
	r := &run{f: f, ctx: ctx, heard: func(string) { cancel() }}
	r.with("--database-url", f.url, "sweep", "--batch", "10", "--pause", "1h").exits(1)
	require.Equal(t, "interrupted: 10 rows deleted, 15 left\n", r.out)
	require.Equal(t, 15, f.rows())
	require.Equal(t, swept{Deleted: 15}, decode[swept](f.command("sweep", "--batch", "10", "--json").exits(0)))

	// Before the first batch.
	f.due(3)
	r = (&run{f: f, ctx: ctx}).with("--database-url", f.url, "sweep").exits(3)
	require.Equal(t, "idemtx: interrupted\n", r.err)
	require.Equal(t, 3, f.rows())
}

// A Ctrl-C in the middle of a batch waits for its end.
func TestSweepIsInterruptedInABatch(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.due(5)
	f.exec(`CREATE FUNCTION ` + f.schema + `.wait() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
		PERFORM pg_advisory_xact_lock_shared(hashtext(TG_TABLE_SCHEMA)); RETURN OLD;
	END $$; CREATE TRIGGER wait BEFORE DELETE ON {table} FOR EACH ROW EXECUTE FUNCTION ` + f.schema + `.wait()`)
	gate, err := f.pool.Begin(t.Context())
	require.NoError(t, err)
	_, err = gate.Exec(t.Context(), "SELECT pg_advisory_xact_lock(hashtext($1))", f.schema)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	r := &run{f: f, ctx: ctx}
	wait := f.detached(func() { r.with("--database-url", f.url, "sweep", "--batch", "4", "--pause", "1h") })
	require.Eventually(t, func() bool {
		return ask[bool](f, `SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted
			AND classid = 0 AND objid::bigint = hashtext($1)::bigint & 4294967295 OR NOT granted AND objid = hashtext($1)::oid)`, f.schema)
	}, patience, tick)
	cancel()
	require.NoError(t, gate.Rollback(t.Context()))
	wait()
	require.Equal(t, "interrupted: 4 rows deleted, 1 left\n", r.exits(1).out)
}

// An error in a later batch does not undo the earlier ones, and tells of them.
func TestSweepFails(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.due(5)
	f.age("key-number-1", "1 hour")
	f.exec(`CREATE FUNCTION ` + f.schema + `.refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
		IF OLD.key <> 'key-number-1' THEN RAISE EXCEPTION 'not %', OLD.key; END IF; RETURN OLD;
	END $$; CREATE TRIGGER refuse BEFORE DELETE ON {table} FOR EACH ROW EXECUTE FUNCTION ` + f.schema + `.refuse()`)
	r := f.command("sweep", "--batch", "1").exits(3)
	require.Contains(t, r.err, "1 rows were swept, and stay so\n")
	require.NotContains(t, r.err, "key-number")
	require.Equal(t, 4, f.rows())
}

// As a process, with a signal.
func TestSweepIsSignalled(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.due(25)
	cmd := f.process("sweep", "--batch", "10", "--pause", "1h")
	cmd.Env = append(cmd.Env, "DATABASE_URL="+f.url)
	var out strings.Builder
	cmd.Stdout = &out
	complaints, err := cmd.StderrPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	line, err := bufio.NewReader(complaints).ReadString('\n')
	require.NoError(t, err)
	require.Contains(t, line, "10 of 25 rows")
	require.NoError(t, cmd.Process.Signal(os.Interrupt))
	var ended *exec.ExitError
	require.ErrorAs(t, cmd.Wait(), &ended)
	require.Equal(t, 1, ended.ExitCode())
	require.Equal(t, "interrupted: 10 rows deleted, 15 left\n", out.String())
}
