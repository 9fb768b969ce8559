//go:build unix

package integration

import (
	"bufio"
	"context"
	_ "embed"
	"fmt"
	"io"
	osexec "os/exec"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/internal/devpg"
)

// bouncer is a PgBouncer of a test's own, in transaction mode.
type bouncer struct {
	t        *testing.T
	prepares bool   // it knows prepared statements
	folder   string // where its socket is
	control  io.Writer
	said     *bufio.Reader
}

//go:embed testdata/bouncer.sh
var bouncerScript string

// bouncerConfig has databases of every name, each of which is the server's one
// through two connections of its own. Transactions take these in turn, so that
// one of them may wait for another, and two of one client meet two backends.
//
// A search_path cannot be handed on from client to client, and is set on each
// connection as newPool has its clients set it. PgBouncer hands on the
// application_name by itself.
const bouncerConfig = `
[databases]
* = host='%s' port=%d dbname='%s' connect_query='SELECT set_config(''search_path'', '''', false)'
[pgbouncer]
pool_mode = transaction
default_pool_size = 2
server_round_robin = 1
query_wait_timeout = 60
max_client_conn = 2000
ignore_startup_parameters = search_path
server_tls_sslmode = prefer
listen_addr =
unix_socket_dir = .
pidfile = pid
auth_type = trust
auth_file = users
admin_users = %s
`

// preparedSince is the PgBouncer 1 that brought prepared statements to transaction
// mode. The newest that has them off by default is 1.23.
const preparedSince = 21

// newBouncer starts a PgBouncer in front of the server, with further settings.
func newBouncer(t *testing.T, settings ...string) *bouncer {
	t.Helper()
	server, err := pgx.ParseConfig(serverURL())
	require.NoError(t, err)
	return newBouncerTo(t, server.Host, server.Port, settings...)
}

// newBouncerTo has it believe that the server is at host and port.
func newBouncerTo(t *testing.T, host string, port uint16, settings ...string) *bouncer {
	t.Helper()
	path := tool(t, "pgbouncer", "pgbouncer")
	b := &bouncer{t: t, prepares: bouncerVersion(t, path) >= preparedSince}
	if b.prepares {
		settings = append([]string{"max_prepared_statements = 200"}, settings...)
	}
	server, err := pgx.ParseConfig(serverURL())
	require.NoError(t, err)
	b.supervise(path)
	users := fmt.Sprintf("%s %s\nend\n", doubled(server.User), doubled(server.Password))
	config := fmt.Sprintf(bouncerConfig, host, port, server.Database, server.User)
	_, err = io.WriteString(b.control, users+config+strings.Join(settings, "\n")+"\nend\n")
	require.NoError(t, err)
	require.NoError(t, b.tell("start"))
	return b
}

// doubled quotes a text as the file of users wants it.
func doubled(text string) string { return `"` + strings.ReplaceAll(text, `"`, `""`) + `"` }

// supervise starts the script, which ends with this process or the test.
func (b *bouncer) supervise(path string) {
	b.t.Helper()
	cmd, err := devpg.Shell(bouncerScript, path)
	require.NoError(b.t, err)
	cmd.Stderr = b.t.Output()
	control, err := cmd.StdinPipe()
	require.NoError(b.t, err)
	said, err := cmd.StdoutPipe()
	require.NoError(b.t, err)
	require.NoError(b.t, cmd.Start())
	b.t.Cleanup(func() {
		_ = control.Close()
		_ = cmd.Wait()
	})
	b.control, b.said = control, bufio.NewReader(said)
	line, err := b.said.ReadString('\n')
	require.NoError(b.t, err)
	b.folder = strings.TrimSpace(line)
}

// bouncerVersion is the 24 of 1.24.1.
func bouncerVersion(t *testing.T, path string) (minor int) {
	t.Helper()
	out, err := osexec.Command(path, "--version").Output()
	require.NoError(t, err)
	_, err = fmt.Sscanf(string(out), "PgBouncer 1.%d.", &minor)
	require.NoError(t, err, "%s", out)
	return minor
}

// tell has the script start it, or kill it.
func (b *bouncer) tell(command string) error {
	if _, err := fmt.Fprintln(b.control, command); err != nil {
		return err
	}
	line, err := b.said.ReadString('\n')
	if err == nil && line != "done\n" {
		err = fmt.Errorf("PgBouncer does not %s: %s", command, line)
	}
	return err
}

// redirect makes config lead to one of its databases.
func (b *bouncer) redirect(config *pgx.ConnConfig, database string) {
	config.Host, config.Port, config.Database = b.folder, 6432, database
	config.Fallbacks, config.TLSConfig = nil, nil
}

// connect opens a connection to one of its databases.
func (b *bouncer) connect(t *testing.T, database string) *pgx.Conn {
	t.Helper()
	config, err := pgx.ParseConfig(serverURL())
	require.NoError(t, err)
	b.redirect(config, database)
	config.DefaultQueryExecMode = pgx.QueryExecModeSimpleProtocol // all that its console knows
	conn, err := pgx.ConnectConfig(context.WithoutCancel(t.Context()), config)
	require.NoError(t, err)
	return conn
}
