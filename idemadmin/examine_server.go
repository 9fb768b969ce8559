package idemadmin

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/idemtx/idemtx/idemtx"
)

const (
	subjectServer   = "server"
	subjectSettings = "settings"
)

// settings are those of sql/settings.sql.
type settings map[string]string

// milliseconds is the value of a timeout; of one that the server does not know, it is 0.
func (set settings) milliseconds(name string) time.Duration {
	n, _ := strconv.ParseInt(set[name], 10, 64)
	return time.Duration(n) * time.Millisecond
}

// alter is the statement that changes a setting for the role that asks, which should
// be the application's.
func (set settings) alter(name, value string) string {
	return "ALTER ROLE " + set["role"] + " SET " + name + " = " + value
}

func settingsOf(ctx context.Context, s *idemtx.Store) (settings, error) {
	var lines []struct{ Name, Setting string }
	if err := selectAll(ctx, s, &lines, "settings"); err != nil {
		return nil, err
	}
	set := settings{}
	for _, line := range lines {
		set[line.Name] = line.Setting
	}
	return set, nil
}

func examineServer(ctx context.Context, s *idemtx.Store) ([]Finding, error) {
	set, err := settingsOf(ctx, s)
	if err != nil {
		return nil, err
	}
	found := append(set.server(), set.durability()...)
	more := append(set.timeouts(s.Config().MaxWait), set.transactions()...)
	if more = append(found[1:], more...); len(more) == 0 {
		more = ok(subjectSettings, "nothing is set that would get in the way")
	}
	return append(found[:1], more...), nil
}

// server returns one finding about the version, and those about what it is.
func (set settings) server() []Finding {
	f := Finding{LevelOK, subjectServer, "PostgreSQL " + set["server_version"], ""}
	if n, _ := strconv.Atoi(set["server_version_num"]); n < 140000 {
		f = Finding{LevelBad, subjectServer, f.Text + " is too old", "upgrade it to 14 or later"}
	}
	found := []Finding{f}
	if set["in recovery"] == "true" {
		found = append(found, Finding{
			LevelBad, subjectServer, "it is a standby: no reply can be stored here, and no lock on a key of the primary is seen",
			"connect to the primary: name all hosts in the URL, with target_session_attrs=read-write",
		})
	}
	return found
}

func (set settings) durability() (found []Finding) {
	bad := func(level Level, text, advice string) {
		found = append(found, Finding{level, subjectSettings, text, advice})
	}
	if set["fsync"] == "off" {
		bad(LevelBad, "fsync is off: a crash of the machine can destroy the database, replies and work included",
			"set fsync = on in postgresql.conf")
	}
	if set["full_page_writes"] == "off" {
		bad(LevelBad, "full_page_writes is off: a crash of the machine can leave pages of which half is old",
			"set full_page_writes = on in postgresql.conf")
	}
	switch commit := set["synchronous_commit"]; {
	case commit == "off":
		bad(LevelWarn, "synchronous_commit is off: a crash can lose work and reply of the last moments together, although the "+
			"client was answered; what DoPool has done elsewhere stays, and a retry does it again",
			set.alter("synchronous_commit", "on"))
	case commit == "local" && set["synchronous_standby_names"] != "":
		bad(LevelWarn, "synchronous_commit is local: a failover can lose what was acknowledged, in spite of the synchronous standbys",
			set.alter("synchronous_commit", "on"))
	}
	return found
}

func (set settings) timeouts(maxWait time.Duration) (found []Finding) {
	warn := func(text, advice string) {
		found = append(found, Finding{LevelWarn, subjectSettings, text, advice})
	}
	switch idle := set.milliseconds("idle_in_transaction_session_timeout"); {
	case idle == 0:
		warn("idle_in_transaction_session_timeout is 0: a client that vanishes within a transaction keeps its key until TCP gives up",
			set.alter("idle_in_transaction_session_timeout", "'60s'")+", or whatever is more than the slowest handler needs between two statements")
	case idle < long:
		warn(fmt.Sprintf("idle_in_transaction_session_timeout is %v: a handler that does anything else for so long loses its transaction", idle),
			set.alter("idle_in_transaction_session_timeout", "'60s'")+", or whatever is more than the slowest handler needs between two statements")
	}
	if limit := set.milliseconds("transaction_timeout"); limit > 0 && limit < maxWait {
		warn(fmt.Sprintf("transaction_timeout is %v: a request that waits for another one in flight is cut off before MaxWait, %v", limit, maxWait),
			"set it to more than MaxWait and the slowest handler together, or lower Config.MaxWait")
	}
	if limit := set.milliseconds("statement_timeout"); limit > 0 && limit < maxWait {
		warn(fmt.Sprintf("statement_timeout is %v: a request that waits for another one is told that it is in flight before MaxWait, %v",
			limit, maxWait),
			"set Config.MaxWait to less than it, or raise it for the role of the application")
	}
	// idemtx sets it for its own waits and puts it back.
	if limit := set.milliseconds("lock_timeout"); limit > 0 && limit < 100*time.Millisecond {
		warn(fmt.Sprintf("lock_timeout is %v: handlers, and a reply whose row another program is writing, fail at the least contention", limit),
			"raise it for the role of the application")
	}
	return found
}

func (set settings) transactions() (found []Finding) {
	if set["default_transaction_read_only"] == "on" {
		found = append(found, Finding{
			LevelBad, subjectSettings, "default_transaction_read_only is on: no reply can be stored",
			set.alter("default_transaction_read_only", "off") + ", or TxOptions with AccessMode pgx.ReadWrite",
		})
	}
	if level := set["default_transaction_isolation"]; level == "repeatable read" || level == "serializable" {
		found = append(found, Finding{
			LevelWarn, subjectSettings, "default_transaction_isolation is " + level + ": of two requests with one key that meet, " +
				"the second fails with 40001 when it has waited; Do tries again, and DoTx hands the error on",
			"retry DoTx's transactions on 40001, or use read committed",
		})
	}
	return found
}
