package idemadmin

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/idemtx/idemtx/idemtx"
)

const (
	subjectWaits   = "waits"
	subjectHolders = "holders"
)

// waiter is a line of sql/waits.sql.
type waiter struct {
	Pid      int32
	Seconds  float64
	Blockers []int32 // 0 stands for a prepared transaction
}

func examineWaits(ctx context.Context, s *idemtx.Store) ([]Finding, error) {
	var waits []waiter
	if err := selectAll(ctx, s, &waits, "waits", long.Seconds(), table(s)); err != nil {
		return nil, err
	}
	var found []Finding
	for _, w := range waits {
		found = append(found, Finding{
			LevelWarn, subjectWaits, fmt.Sprintf("backend %d has waited %v for a key that %s", w.Pid, since(w.Seconds), heldBy(w.Blockers)),
			"see what the holder is at in pg_stat_activity; end it with SELECT pg_terminate_backend(pid) when it is stuck: " +
				"its work is undone, and a retry does it again",
		})
	}
	if found != nil {
		return found, nil
	}
	return asFarAsSeen(ctx, s, subjectWaits, fmt.Sprintf("nobody has waited %v for a key", long))
}

// asFarAsSeen is for what was not found: other roles' sessions show no more than that
// they are there, unless the role has a right to see them.
func asFarAsSeen(ctx context.Context, s *idemtx.Store, subject, text string) ([]Finding, error) {
	var sees bool
	if err := s.Pool().QueryRow(ctx, statement(s, "sees"), pgx.QueryExecModeExec).Scan(&sees); err != nil {
		return nil, err
	}
	if sees {
		return ok(subject, text), nil
	}
	return []Finding{{
		LevelOK, subject, text + ", of what this role may see: what other roles do is hidden from it",
		"GRANT pg_read_all_stats to the role that examines",
	}}, nil
}

func heldBy(pids []int32) string {
	var names []string
	for _, pid := range pids {
		if pid == 0 {
			names = append(names, "a prepared transaction")
			continue
		}
		names = append(names, fmt.Sprintf("backend %d", pid))
	}
	switch len(names) {
	case 0:
		return "has become free meanwhile"
	case 1:
		return names[0] + " holds"
	}
	return strings.Join(names, " and ") + " hold or wait for before it"
}

func since(seconds float64) time.Duration {
	return time.Duration(seconds * float64(time.Second)).Truncate(100 * time.Millisecond)
}

// idler is a line of sql/idlers.sql.
type idler struct {
	Pid     int32
	Seconds float64
}

func examineHolders(ctx context.Context, s *idemtx.Store) ([]Finding, error) {
	var idlers []idler
	if err := selectAll(ctx, s, &idlers, "idlers", table(s), long.Seconds()); err != nil {
		return nil, err
	}
	var found []Finding
	for _, i := range idlers {
		found = append(found, Finding{
			LevelWarn, subjectHolders, fmt.Sprintf("backend %d holds a key, and its transaction has been idle for %v", i.Pid, since(i.Seconds)),
			"keep what takes long, such as calls to other services, out of handlers' transactions; when the client is gone, " +
				fmt.Sprintf("SELECT pg_terminate_backend(%d), and set idle_in_transaction_session_timeout", i.Pid),
		})
	}
	if found == nil {
		return asFarAsSeen(ctx, s, subjectHolders, fmt.Sprintf("no transaction that holds a key has been idle for %v", long))
	}
	return found, nil
}

// examinePrepared has nothing to say where there are none: few servers allow any.
func examinePrepared(ctx context.Context, s *idemtx.Store) ([]Finding, error) {
	var prepared []struct {
		Literal string // its name, quoted
		Seconds float64
	}
	if err := selectAll(ctx, s, &prepared, "prepared", table(s), long.Seconds()); err != nil {
		return nil, err
	}
	var found []Finding
	for _, p := range prepared {
		found = append(found, Finding{
			LevelBad, subjectHolders, fmt.Sprintf("the prepared transaction %s has held a key for %v, and does until somebody ends it",
				p.Literal, since(p.Seconds)),
			"ROLLBACK PREPARED " + p.Literal + ", and do not prepare transactions in handlers: idemtx cannot tell how they end",
		})
	}
	return found, nil
}
