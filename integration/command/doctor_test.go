package command

import (
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemadmin"
	"github.com/idemtx/idemtx/idemtx"
)

// finding is what doctor --json tells.
type finding struct{ Level, Subject, Text, Advice string }

// timely is a setting without which doctor complains of every server.
const timely = "idle_in_transaction_session_timeout=60000"

// under is the fixture's URL with parameters for the session.
func (f *fixture) under(parameters ...string) string {
	f.t.Helper()
	u, err := url.Parse(f.url)
	require.NoError(f.t, err)
	q := u.Query()
	for _, p := range parameters {
		name, value, _ := strings.Cut(p, "=")
		q.Set(name, value)
	}
	u.RawQuery = strings.ReplaceAll(q.Encode(), "+", "%20") // as libpq reads it
	return u.String()
}

// examined returns the findings that are not ok. The exit code and the text tell the
// same.
func (f *fixture) examined(parameters ...string) []finding {
	f.t.Helper()
	at := f.under(append([]string{timely}, parameters...)...)
	r := (&run{f: f}).with("--database-url", at, "doctor", "--json")
	var found []finding
	for _, one := range decode[[]finding](r) {
		require.NotEmpty(f.t, one.Subject)
		require.NotEmpty(f.t, one.Text)
		if one.Level != string(idemadmin.LevelOK) {
			require.NotEmpty(f.t, one.Advice, "each finding says what to do")
			found = append(found, one)
		}
	}
	if len(found) > 0 {
		r.exits(1)
	} else {
		r.exits(0)
	}
	return found
}

// finds checks that there is one finding, and with words of it.
func (f *fixture) finds(level idemadmin.Level, subject, text, advice string, parameters ...string) {
	f.t.Helper()
	found := f.examined(parameters...)
	require.Len(f.t, found, 1, "%+v", found)
	require.Equal(f.t, string(level), found[0].Level)
	require.Equal(f.t, subject, found[0].Subject)
	require.Contains(f.t, found[0].Text, text)
	require.Contains(f.t, found[0].Advice, advice)
}

func TestDoctorFindsNothing(t *testing.T) {
	t.Parallel()
	for _, partitions := range []int{0, 3} {
		f := newApart(t, withConfig(func(c *idemtx.Config) { c.Partitions = partitions }))
		f.stored(key)
		require.Empty(t, f.examined())
		r := (&run{f: f}).with("--database-url", f.under(timely), "doctor").exits(0)
		require.NotContains(t, r.out, "\x1b[")
		for _, subject := range []string{"server", "settings", "pooler", "table", "vacuum", "index", "sweeper", "waits", "holders"} {
			require.Contains(t, r.out, "ok    "+subject)
		}
	}
}

func TestDoctorFindsSettings(t *testing.T) {
	t.Parallel()
	f := newApart(t)
	for setting, expected := range map[string]finding{
		"idle_in_transaction_session_timeout=0":      {"warn", "settings", "is 0", "ALTER ROLE"},
		"idle_in_transaction_session_timeout=1000":   {"warn", "settings", "is 1s", "60s"},
		"synchronous_commit=off":                     {"warn", "settings", "synchronous_commit is off", "= on"},
		"statement_timeout=9999":                     {"warn", "settings", "statement_timeout is 9.999s", "MaxWait"},
		"lock_timeout=10":                            {"warn", "settings", "lock_timeout is 10ms", "raise"},
		"default_transaction_isolation=serializable": {"warn", "settings", "is serializable", "40001"},
		"default_transaction_read_only=on":           {"bad", "settings", "read_only is on", "off"},
	} {
		f.finds(idemadmin.Level(expected.Level), expected.Subject, expected.Text, expected.Advice, setting)
	}
	for _, harmless := range []string{
		"idle_in_transaction_session_timeout=5000", "statement_timeout=10000", "lock_timeout=1000", "lock_timeout=0",
		"default_transaction_isolation=read committed", "synchronous_commit=local",
	} {
		require.Empty(t, f.examined(harmless), harmless)
	}
}

// Warnings need not fail a check that is run every night.
func TestDoctorFailsOn(t *testing.T) {
	t.Parallel()
	f := newApart(t)
	at := []string{"--database-url", f.under("idle_in_transaction_session_timeout=0"), "doctor"}
	(&run{f: f}).with(at...).exits(1)
	(&run{f: f}).with(append(at, "--fail-on", "bad")...).exits(0)
	f.exec("DROP INDEX " + f.schema + ".idemtx_replies_expires_at_idx")
	(&run{f: f}).with(append(at, "--fail-on", "bad")...).exits(1)
	require.Contains(t, (&run{f: f}).with(append(at, "--fail-on", "ok")...).exits(2).err, "warn or bad")
}

// Each difference of the table is a finding with its cure, which works.
func TestDoctorFindsTheTable(t *testing.T) {
	t.Parallel()
	for what, expected := range map[string]finding{
		"DROP INDEX {schema}.idemtx_replies_expires_at_idx":         {"", "", "index on expires_at is missing", "CREATE INDEX"},
		"ALTER TABLE {table} ALTER sealed DROP NOT NULL":            {"", "", "accepts NULL", "SET NOT NULL"},
		"ALTER TABLE {table} DROP CONSTRAINT retained_after_expiry": {"", "", "retained_after_expiry", "ADD CONSTRAINT"},
		"ALTER TABLE {table} SET UNLOGGED":                          {"", "", "UNLOGGED", "SET LOGGED"},
		"ALTER TABLE {table} ALTER COLUMN scope TYPE varchar(2000)": {"", "", "scope", "TYPE text"},
		"ALTER TABLE {table} ADD COLUMN more text NOT NULL":         {"", "", "more", "DROP NOT NULL"},
		"ALTER TABLE {table} RENAME COLUMN sealed TO closed":        {"", "", "sealed", "ADD COLUMN"},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			f := newApart(t)
			f.exec(strings.ReplaceAll(what, "{schema}", f.schema))
			f.finds(idemadmin.LevelBad, "table", expected.Text, expected.Advice)
			for _, one := range f.examined() {
				f.exec(one.Advice)
			}
			require.Empty(t, f.examined())
		})
	}
}

func TestDoctorFindsNoTable(t *testing.T) {
	t.Parallel()
	f := newEmpty(t)
	f.finds(idemadmin.LevelBad, "table", "missing", "CreateSchema")
	f.exec("CREATE SCHEMA " + f.schema)
	f.exec("CREATE VIEW {table} AS SELECT 1 AS scope")
	require.NotEmpty(t, f.examined())
	f.exec("DROP VIEW {table}; CREATE TABLE {table} (scope int, expires_at text)")
	require.NotEmpty(t, f.examined())
}

// A role that lacks a right gets the statement that gives it.
func TestDoctorFindsARight(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	role := f.role("SELECT", "INSERT", "UPDATE")
	as := f.under(timely, "role="+role)
	r := (&run{f: f}).with("--database-url", as, "doctor", "--json").exits(1)
	var lacking []finding
	for _, one := range decode[[]finding](r) {
		if one.Level != "ok" {
			lacking = append(lacking, one)
		}
		if one.Subject == "waits" {
			require.Contains(t, one.Text, "may see", "others' statements are hidden from this role")
		}
	}
	require.Len(t, lacking, 1)
	require.Contains(t, lacking[0].Text, "DELETE")
	f.exec(lacking[0].Advice)
	require.Empty(t, f.examined("role="+role))
	f.exec("REVOKE SELECT ON " + f.table() + " FROM " + role)
	f.finds(idemadmin.LevelBad, "table", "SELECT", "GRANT SELECT", "role="+role)
}

// What a role may not look at is not known, and does not keep it from the rest.
func TestDoctorMayNotLook(t *testing.T) {
	t.Parallel()
	f := newApart(t)
	f.exec("REVOKE SELECT ON pg_catalog.pg_locks, pg_catalog.pg_stat_all_tables FROM PUBLIC")
	role := f.role("SELECT", "INSERT", "UPDATE", "DELETE")
	r := (&run{f: f}).with("--database-url", f.under(timely, "role="+role), "doctor").exits(0)
	for _, subject := range []string{"vacuum ", "waits  ", "holders"} {
		require.Contains(t, r.out, "ok    "+subject+"   nothing can be known")
	}
	require.Contains(t, r.out, "ok    sweeper")
	// To answer as if nobody held the key would be a lie.
	at := []string{"--database-url", f.under("role=" + role), "lookup", "--principal", "p", key}
	require.Contains(t, (&run{f: f}).with(at...).exits(3).err, "permission denied for view pg_locks")
}

// role makes a role with these rights on the table.
func (f *fixture) role(rights ...string) string {
	f.t.Helper()
	role := "r" + f.schema
	f.exec("CREATE ROLE " + role)
	f.t.Cleanup(func() { f.exec("DROP OWNED BY " + role + "; DROP ROLE " + role) })
	f.exec(fmt.Sprintf("GRANT USAGE ON SCHEMA %s TO %s; GRANT %s ON {table} TO %[2]s", f.schema, role, strings.Join(rights, ", ")))
	return role
}

// Nobody has swept for hours, or for days.
func TestDoctorFindsWhatIsOverdue(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.stored(key)
	f.age(key, "24 hours 20 minutes")
	require.Empty(t, f.examined())
	f.age(key, "1 hour")
	f.finds(idemadmin.LevelWarn, "sweeper", "1h20m", "RunSweeper")
	f.age(key, "23 hours")
	f.finds(idemadmin.LevelBad, "sweeper", "24h20m", "idemtx sweep")
	f.command("sweep").exits(0)
	require.Empty(t, f.examined())
	// A claim that holds is not overdue, however long its handler works.
	f.claim(key, "1 hour")
	f.exec("UPDATE {table} SET created_at = now() - interval '3 days', expires_at = now() - interval '2 days'")
	require.Empty(t, f.examined())
}

// A database that does not answer is an error, and no finding.
func TestExamineWithoutADatabase(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.pool.Close()
	_, err := idemadmin.Examine(t.Context(), f.store)
	require.Error(t, err)
	var differs *idemtx.SchemaError
	require.NotErrorAs(t, err, &differs)
}
