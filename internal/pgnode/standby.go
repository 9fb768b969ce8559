//go:build linux

package pgnode

import (
	"context"
	"fmt"
	"strings"
	"syscall"

	"github.com/jackc/pgx/v5"
)

// Standby makes a copy of the node that follows it, under a name for Synchronous.
// It returns when the copy streams. Its settings are those of the file, not what
// ALTER SYSTEM has added: once promoted, it waits for no standby of its own.
func (n *Node) Standby(name string) *Node {
	n.tb.Helper()
	s := newNode(n.tb)
	from := fmt.Sprintf("host=127.0.0.1 port=%d user=postgres password=%s sslmode=disable", n.port, n.home.password)
	n.run("pg_basebackup", "-D", s.data(), "-d", from, "--checkpoint=fast", "--no-sync", "--no-manifest", "--wal-method=none")
	s.write("postgresql.auto.conf", fmt.Sprintf("primary_conninfo = '%s application_name=%s'\n", from, name))
	s.write("standby.signal", "")
	s.startAnywhere()
	n.await("the standby streams", func() bool {
		return ask[bool](n, `SELECT EXISTS (SELECT FROM pg_stat_replication
			WHERE application_name = $1 AND state = 'streaming')`, name)
	})
	return s
}

// Synchronous sets synchronous_standby_names: commits wait for these standbys,
// and for none when names is empty. It returns when that is so.
func (n *Node) Synchronous(names string) {
	n.tb.Helper()
	n.connected(func(ctx context.Context, conn *pgx.Conn) error {
		if _, err := conn.Exec(ctx, "ALTER SYSTEM SET synchronous_standby_names = "+"'"+strings.ReplaceAll(names, "'", "''")+"'"); err != nil {
			return err
		}
		_, err := conn.Exec(ctx, "SELECT pg_reload_conf()")
		return err
	})
	// A new backend has the setting once the server has read it and told the
	// others, but commits wait when the checkpointer has heard of it.
	n.await("the server has the setting", func() bool {
		return ask[string](n, "SHOW synchronous_standby_names") == names
	})
	n.connected(func(ctx context.Context, conn *pgx.Conn) error {
		// It looks for news between any two checkpoints.
		_, err := conn.Exec(ctx, "CHECKPOINT; CHECKPOINT")
		return err
	})
}

// Promote makes a primary of a standby, and returns when it accepts writes. One
// that is frozen never gets what it has not read until then.
func (n *Node) Promote() {
	n.tb.Helper()
	if n.frozen != nil {
		// What the old primary has sent still waits in its connection, and would
		// be read. So the connection ends, and is not made again.
		n.Kill()
		n.write("postgresql.auto.conf", "")
		n.Start()
	}
	if !ask[bool](n, "SELECT pg_promote(true, $1)", int(patience.Seconds())) {
		n.tb.Fatal("pgnode: the standby is not promoted")
	}
	n.await("the node accepts writes", func() bool { return !ask[bool](n, "SELECT pg_is_in_recovery()") })
}

// Freeze stops those processes of a standby that receive and apply. Connections
// stay open, and nothing is confirmed.
func (n *Node) Freeze() {
	n.tb.Helper()
	n.await("the standby receives", func() bool {
		n.frozen = n.titled("walreceiver", "startup")
		return len(n.frozen) == 2
	})
	for _, pid := range n.frozen {
		_ = syscall.Kill(pid, syscall.SIGSTOP)
		n.await("the process stops", func() bool { return stopped(pid) })
	}
}

// Thaw lets a frozen standby go on.
func (n *Node) Thaw() {
	for _, pid := range n.frozen {
		_ = syscall.Kill(pid, syscall.SIGCONT)
	}
	n.frozen = nil
}
