//go:build unix

package command

import (
	"bufio"
	_ "embed"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemadmin"
	"github.com/idemtx/idemtx/internal/devpg"
)

//go:embed testdata/pooler.sh
var poolerScript string

// There are two connections of the server, so that of two clients that have a
// transaction each has one. Its clients' settings are the server's.
const poolerConfig = `
[databases]
* = host='%s' port=%d dbname='%s'
[pgbouncer]
pool_mode = %s
default_pool_size = 2
ignore_startup_parameters = search_path,idle_in_transaction_session_timeout
listen_addr =
unix_socket_dir = .
pidfile = pid
auth_type = trust
auth_file = users
`

// newPooler starts a PgBouncer in front of the server, and returns how to connect.
func newPooler(t *testing.T, mode string) string {
	t.Helper()
	cmd, err := devpg.Shell(poolerScript, pgbouncer(t))
	require.NoError(t, err)
	cmd.Stderr = t.Output()
	control, err := cmd.StdinPipe()
	require.NoError(t, err)
	said, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = control.Close()
		_ = cmd.Wait()
	})
	at, err := pgx.ParseConfig(server.URL)
	require.NoError(t, err)
	doubled := func(text string) string { return `"` + strings.ReplaceAll(text, `"`, `""`) + `"` }
	_, err = io.WriteString(control, fmt.Sprintf("%s %s\nend\n", doubled(at.User), doubled(at.Password))+
		fmt.Sprintf(poolerConfig, at.Host, at.Port, at.Database, mode)+"end\n")
	require.NoError(t, err)
	folder, err := bufio.NewReader(said).ReadString('\n')
	require.NoError(t, err)
	return fmt.Sprintf("postgres:///%s?host=%s&port=6432&user=%s", url.PathEscape(at.Database),
		url.QueryEscape(strings.TrimSpace(folder)), url.QueryEscape(at.User))
}

func pgbouncer(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("pgbouncer")
	if err != nil { // an ordinary user's PATH has no folder of daemons
		path, err = exec.LookPath(filepath.Join("/usr/sbin", "pgbouncer"))
	}
	if err != nil && os.Getenv("IDEMTX_TOOLS") != "required" {
		t.Skip("pgbouncer is missing: apt-get install pgbouncer")
	}
	require.NoError(t, err, "apt-get install pgbouncer")
	return path
}

// What is in between is seen, and what cannot be known of it is said.
func TestDoctorFindsAPooler(t *testing.T) {
	t.Parallel()
	for mode, words := range map[string]string{"transaction": "; it pools transactions, for", "session": "could not be found out"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			via := newPooler(t, mode)
			f := newFixture(t)
			for exec, level := range map[string]idemadmin.Level{
				"": idemadmin.LevelWarn, "exec": idemadmin.LevelOK, "cache_describe": idemadmin.LevelOK, "describe_exec": idemadmin.LevelBad,
			} {
				at := via
				if exec != "" {
					at += "&default_query_exec_mode=" + exec
				}
				r := (&run{f: f}).with("--database-url", at, "doctor", "--json")
				var found []finding
				for _, one := range decode[[]finding](r) {
					if one.Subject == "pooler" {
						found = append(found, one)
					}
				}
				require.Len(t, found, 1)
				require.Equal(t, string(level), found[0].Level, exec)
				require.Contains(t, found[0].Text, words)
				require.Equal(t, level == idemadmin.LevelOK, found[0].Advice == "")
			}
		})
	}
}

// Behind a pooler that carries no prepared statements, the application's exec mode fails
// once they are on another connection of the server, and doctor says so. The other
// commands prepare none.
func TestBehindAPoolerAgainAndAgain(t *testing.T) {
	t.Parallel()
	via := newPooler(t, "transaction")
	f := newFixture(t)
	for range 3 {
		r := (&run{f: f}).with("--database-url", via, "doctor").exits(1)
		require.Contains(t, r.out, "default_query_exec_mode=exec")
		(&run{f: f}).with("--database-url", via, "stats").exits(0)
		(&run{f: f}).with("--database-url", via, "sweep").exits(0)
		(&run{f: f}).with("--database-url", via, "lookup", "--principal", principal, key).exits(1)
		(&run{f: f}).with("--database-url", via, "schema", "verify").exits(0)
	}
}

// One that pools statements lets nobody have a transaction.
func TestDoctorFindsAPoolerOfStatements(t *testing.T) {
	t.Parallel()
	via := newPooler(t, "statement")
	f := newFixture(t)
	r := (&run{f: f}).with("--database-url", via+"&default_query_exec_mode=exec", "doctor", "--json").exits(1)
	require.Contains(t, r.out, "it pools statements")
	require.Contains(t, r.out, "pool_mode = transaction")
}
