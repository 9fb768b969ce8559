package command

import (
	"cmp"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// process is the command as a process of its own, in an environment without a
// database.
func (f *fixture) process(args ...string) *exec.Cmd {
	f.t.Helper()
	path, err := os.Executable()
	require.NoError(f.t, err)
	cmd := exec.CommandContext(f.t.Context(), path, append([]string{"--schema", f.schema}, args...)...)
	for _, variable := range os.Environ() {
		if !strings.HasPrefix(variable, "PG") && !strings.HasPrefix(variable, "DATABASE_URL=") {
			cmd.Env = append(cmd.Env, variable)
		}
	}
	cmd.Env = append(cmd.Env, asCommand+"=1")
	return cmd
}

func TestDatabaseURL(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	nowhere := "postgres://127.0.0.1:1/nothing"
	(&run{f: f, env: map[string]string{"DATABASE_URL": f.url}}).with("stats").exits(0)
	(&run{f: f, env: map[string]string{"DATABASE_URL": nowhere}}).with("stats").exits(3)
	(&run{f: f, env: map[string]string{"DATABASE_URL": nowhere}}).with("--database-url", f.url, "stats").exits(0)
	(&run{f: f, env: map[string]string{"DATABASE_URL": f.url}}).with("--database-url", nowhere, "stats").exits(3)
}

// Libpq's own environment serves when there is no URL.
func TestLibpqEnvironment(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	u, err := url.Parse(f.url)
	require.NoError(t, err)
	password, _ := u.User.Password()
	database := strings.TrimPrefix(u.Path, "/")
	sslmode := cmp.Or(u.Query().Get("sslmode"), "prefer")
	folder := t.TempDir()
	services := filepath.Join(folder, "services")
	require.NoError(t, os.WriteFile(services, fmt.Appendf(nil, "[ours]\nhost=%s\nport=%s\ndbname=%s\nuser=%s\nsslmode=%s\n",
		u.Hostname(), u.Port(), database, u.User.Username(), sslmode), 0o600))
	passwords := filepath.Join(folder, "passwords")
	require.NoError(t, os.WriteFile(passwords, fmt.Appendf(nil, "*:*:*:*:%s\n", password), 0o600))

	for name, env := range map[string][]string{
		"host": {
			"PGHOST=" + u.Hostname(), "PGPORT=" + u.Port(), "PGUSER=" + u.User.Username(), "PGPASSWORD=" + password,
			"PGDATABASE=" + database, "PGSSLMODE=" + sslmode,
		},
		"service": {"PGSERVICE=ours", "PGSERVICEFILE=" + services, "PGPASSFILE=" + passwords},
		"url":     {"DATABASE_URL=" + f.url, "PGHOST=127.0.0.1", "PGPORT=1"},
	} {
		cmd := f.process("stats", "--json")
		cmd.Env = append(cmd.Env, env...)
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "%s: %s", name, out)
		require.Contains(t, string(out), `"live":0`)
	}

	cmd := f.process("stats")
	cmd.Env = append(cmd.Env, "PGSERVICE=theirs", "PGSERVICEFILE="+services, "PGPASSWORD=opensesame")
	out, err := cmd.CombinedOutput()
	require.Error(t, err)
	require.Equal(t, 2, cmd.ProcessState.ExitCode())
	require.Contains(t, string(out), "unable to find service: theirs")
	require.NotContains(t, string(out), "opensesame")
}

// There are colours on a terminal, unless somebody does not want them.
func TestColours(t *testing.T) {
	t.Parallel()
	f := newApart(t)
	f.stored(key)
	const escape = "\x1b["
	whose := []string{"--principal", principal, "--tenant", tenant}
	for _, args := range [][]string{{"stats"}, {"doctor"}, {"schema", "verify"}, slices.Concat([]string{"lookup", key}, whose)} {
		args := append(args, "--database-url", f.under(timely))
		require.Contains(t, (&run{f: f, terminal: true}).with(args...).exits(0).out, escape)
		require.NotContains(t, (&run{f: f}).with(args...).exits(0).out, escape)
		require.NotContains(t, (&run{f: f, terminal: true}).with(append(args, "--no-color")...).exits(0).out, escape)
		require.NotContains(t, (&run{f: f, terminal: true}).with(append(args, "--json")...).exits(0).out, escape)
		for variable, colours := range map[string]bool{"NO_COLOR=1": false, "NO_COLOR=": true, "TERM=dumb": false, "TERM=xterm": true} {
			name, value, _ := strings.Cut(variable, "=")
			r := (&run{f: f, terminal: true, env: map[string]string{name: value}}).with(args...).exits(0)
			require.Equal(t, colours, strings.Contains(r.out, escape), variable)
		}
	}
}
