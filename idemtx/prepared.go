package idemtx

import (
	"runtime"
	"sync"
	"weak"

	"github.com/jackc/pgx/v5"
)

// prepared is the connections that have run the first statements of a DoTx, so
// that pgx has them prepared: it forgets them after an error. It is not kept with
// the connection, because that of a transaction which its caller has ended, and
// uses by mistake, is somebody else's by then.
type prepared struct {
	conns sync.Map // of weak.Pointer[pgx.Conn]
}

func (p *prepared) on(conn *pgx.Conn) bool {
	_, ok := p.conns.Load(weak.Make(conn))
	return ok
}

func (p *prepared) note(conn *pgx.Conn, prepared bool) {
	ref := weak.Make(conn)
	if !prepared {
		p.conns.Delete(ref)
		return
	}
	if _, known := p.conns.LoadOrStore(ref, true); !known {
		runtime.AddCleanup(conn, func(ref weak.Pointer[pgx.Conn]) { p.conns.Delete(ref) }, ref)
	}
}
