//go:build linux

package pgnode

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
)

func execute(t *testing.T, url, sql string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	require.NoError(t, err)
	defer conn.Close(t.Context())
	_, err = conn.Exec(t.Context(), sql)
	require.NoError(t, err, sql)
}

func TestEndsAndStarts(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(*Node){"kill": (*Node).Kill, "immediate": (*Node).StopImmediate, "fast": (*Node).Stop} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := New(t, "max_connections=50")
			url := n.URL()
			require.Equal(t, "50", ask[string](n, "SHOW max_connections"))
			execute(t, url, "CREATE TABLE notes AS SELECT 1 AS number")
			idle, err := pgx.Connect(t.Context(), url) // a backend that has to go, too
			require.NoError(t, err)
			for range 2 {
				segments := sharedMemory(t, n.home.dir, filepath.Base(n.dir))
				require.Len(t, segments, 1)
				end(n)
				require.Empty(t, n.processes())
				require.NotContains(t, allSharedMemory(t), segments[0])
				_, err := pgx.Connect(t.Context(), url)
				require.ErrorContains(t, err, "connection refused")
				n.Start()
				require.Equal(t, url, n.URL())
				require.Equal(t, 1, ask[int](n, "SELECT number FROM notes"))
			}
			require.Error(t, idle.Ping(t.Context()))
			recovers := strings.Contains(n.logTail(), "automatic recovery in progress")
			require.Equal(t, name != "fast", recovers, n.logTail())
		})
	}
}

func TestGoneWithItsTest(t *testing.T) {
	t.Parallel()
	var n *Node
	t.Run("test", func(t *testing.T) {
		n = New(t)
		require.NotEmpty(t, n.processes())
		_, err := pgx.Connect(t.Context(), strings.Replace(n.URL(), n.home.password, "wrong", 1))
		require.ErrorContains(t, err, "28P01", "the server must ask for its password on the loopback interface")
	})
	require.Empty(t, n.processes())
	require.NoDirExists(t, n.dir)
}

// TestPortIsTaken while the node is down: it is waited for, as the URL must not
// change.
func TestPortIsTaken(t *testing.T) {
	t.Parallel()
	n := New(t)
	n.Kill()
	l, err := net.Listen("tcp4", fmt.Sprintf("127.0.0.1:%d", n.port))
	require.NoError(t, err)
	freed := make(chan error, 1)
	go func() {
		for !strings.Contains(n.logTail(), "could not create any TCP/IP sockets") && t.Context().Err() == nil {
			<-time.After(time.Millisecond)
		}
		freed <- l.Close()
	}()
	n.Start()
	require.NoError(t, <-freed)
	require.Equal(t, 1, ask[int](n, "SELECT 1"))
}

// TestSettingIsRefused: a server that does not start says why.
func TestSettingIsRefused(t *testing.T) {
	t.Parallel()
	n := New(t)
	n.Stop()
	require.NoError(t, appendTo(filepath.Join(n.data(), "postgresql.conf"), "max_connections = many"))
	require.ErrorContains(t, n.start(), `invalid value for parameter "max_connections": "many"`)
}

func TestStandby(t *testing.T) {
	t.Parallel()
	primary := New(t, "max_connections=120")
	primary.Synchronous("second")
	standby := primary.Standby("second")
	primary.await("the standby is synchronous", func() bool { return ask[string](primary, "SELECT sync_state FROM pg_stat_replication") == "sync" })
	execute(t, primary.URL(), "CREATE TABLE notes (number int)")

	// A commit waits while the standby is frozen, and no longer.
	standby.Freeze()
	committed := make(chan error, 1)
	conn, err := pgx.Connect(t.Context(), primary.URL())
	require.NoError(t, err)
	go func() {
		_, err := conn.Exec(context.WithoutCancel(t.Context()), "INSERT INTO notes VALUES (1)")
		committed <- err
	}()
	primary.await("the commit waits", func() bool {
		return ask[bool](primary, "SELECT coalesce(wait_event = 'SyncRep', false) FROM pg_stat_activity WHERE pid = $1", conn.PgConn().PID())
	})
	require.Empty(t, committed)
	standby.Thaw()
	require.NoError(t, <-committed)

	// No commit waits when there is none to wait for.
	standby.Freeze()
	primary.Synchronous("")
	execute(t, primary.URL(), "INSERT INTO notes VALUES (2)")
	standby.Thaw()
	standby.Kill()
	standby.Start()
	standby.await("the standby has the table", func() bool { return ask[bool](standby, "SELECT to_regclass('notes') IS NOT NULL") })
	standby.await("the standby has caught up", func() bool { return ask[int](standby, "SELECT count(*) FROM notes") == 2 })
}

func TestPromote(t *testing.T) {
	t.Parallel()
	for name, frozen := range map[string]bool{"streaming": false, "frozen": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			primary := New(t)
			primary.Synchronous("second")
			standby := primary.Standby("second")
			execute(t, primary.URL(), "CREATE TABLE notes (number int)")
			if frozen {
				standby.Freeze()
				execute(t, primary.URL(), "SET synchronous_commit = local; INSERT INTO notes VALUES (1)")
				// The standby's kernel has it.
				primary.await("the note is sent", func() bool {
					return ask[bool](primary, "SELECT sent_lsn = pg_current_wal_flush_lsn() FROM pg_stat_replication")
				})
			} else {
				execute(t, primary.URL(), "INSERT INTO notes VALUES (1)")
			}
			both := URL(standby, primary)
			standbyRefuses(t, standby)
			primary.Kill()
			standby.Promote()
			require.Equal(t, frozen, ask[int](standby, "SELECT count(*) FROM notes") == 0)
			execute(t, both, "INSERT INTO notes VALUES (2)") // which waits for nobody

			next := standby.Standby("third")
			require.True(t, ask[bool](next, "SELECT pg_is_in_recovery()"))
		})
	}
}

func standbyRefuses(t *testing.T, standby *Node) {
	t.Helper()
	_, err := pgx.Connect(t.Context(), URL(standby))
	require.ErrorContains(t, err, "read only")
}

// givenUp notes how a test was ended.
type givenUp struct {
	testing.TB
	how string
}

func (g *givenUp) Helper()      {}
func (g *givenUp) Skip(...any)  { g.end("skipped") }
func (g *givenUp) Fatal(...any) { g.end("failed") }

func (g *givenUp) end(how string) {
	if g.how == "" { // the first ends it
		g.how = how
	}
}

func TestWithoutBinaries(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		err      error
		required bool
		how      string
	}{
		{errNoBinaries, false, "skipped"},
		{errNoBinaries, true, "failed"},
		{errors.New("initdb fails"), false, "failed"},
	} {
		g := &givenUp{}
		giveUp(g, c.err, c.required)
		require.Equal(t, c.how, g.how)
	}
}
