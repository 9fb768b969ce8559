package crash

import (
	"testing"

	"github.com/idemtx/idemtx/internal/pgnode"
)

// pair is a primary with a standby that does not hold up its commits. Clients go
// to the one that accepts writes.
type pair struct {
	primary, standby *pgnode.Node
	host             *host
	t                *testing.T
}

func newPair(t *testing.T) *pair {
	t.Helper()
	p := &pair{primary: pgnode.New(t, settings...), t: t}
	p.standby = p.primary.Standby("standby")
	p.host = newHost(t, pgnode.URL(p.primary, p.standby))
	return p
}

// caughtUp waits until the standby has all that was committed. What an asynchronous
// one does not have is lost with the primary, the reply together with its work.
func (p *pair) caughtUp() {
	p.t.Helper()
	end := ask[string](p.t, p.host, "SELECT pg_current_wal_flush_lsn()::text")
	until(p.t, "the standby has it", func() bool {
		return ask[bool](p.t, p.host, "SELECT EXISTS (SELECT FROM pg_stat_replication WHERE flush_lsn >= $1::pg_lsn)", end)
	})
}
