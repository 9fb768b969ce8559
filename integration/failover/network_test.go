package failover

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"sync"

	"github.com/jackc/pgx/v5/pgxpool"
)

// network is between a client and the servers.
type network struct {
	losesCancelRequests bool

	mu    sync.Mutex
	conns []net.Conn
}

func (n *network) carry(c *pgxpool.Config) {
	dial := c.ConnConfig.DialFunc
	c.ConnConfig.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		n.mu.Lock()
		defer n.mu.Unlock()
		n.conns = append(n.conns, conn)
		return &link{Conn: conn, losesCancelRequests: n.losesCancelRequests}, nil
	}
}

// cut ends the connections that there are.
func (n *network) cut() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, conn := range n.conns {
		_ = conn.Close()
	}
	n.conns = nil
}

// link is a connection. A cancel request is all that is ever sent on its own.
type link struct {
	net.Conn
	losesCancelRequests bool
	lost                bool
}

func (l *link) Write(b []byte) (int, error) {
	const cancelRequest = 80877102
	if l.losesCancelRequests && len(b) >= 8 && binary.BigEndian.Uint32(b[4:]) == cancelRequest {
		l.lost = true
		return len(b), nil
	}
	return l.Conn.Write(b)
}

func (l *link) Read(b []byte) (int, error) {
	if l.lost {
		return 0, io.EOF
	}
	return l.Conn.Read(b)
}
