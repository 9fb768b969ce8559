package crash

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"sync"

	"github.com/jackc/pgx/v5"
)

// outage is a time in which a server is down. A client hears nothing of it until
// it is over: neither the server's last words, which may get out or not, nor that
// its connections are gone. The zero value has not begun.
type outage struct {
	mu    sync.Mutex
	ended chan struct{}
	past  bool
	conns []net.Conn
}

// begin may be called again before the end.
func (o *outage) begin() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.ended == nil {
		o.ended = make(chan struct{})
	}
}

// end may be called before the beginning, and again.
func (o *outage) end() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.ended != nil && !o.past {
		close(o.ended)
		o.past = true
	}
}

// begun returns what is closed at the end, or nil.
func (o *outage) begun() <-chan struct{} {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.ended
}

func (o *outage) wait(ctx context.Context) {
	ended := o.begun()
	if ended == nil {
		return
	}
	select {
	case <-ended:
	case <-ctx.Done():
	}
}

// cut breaks all connections at once, and lets new ones be made.
func (o *outage) cut() {
	o.begin()
	o.end()
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, c := range o.conns {
		_ = c.Close()
	}
}

// over is a connection that an outage breaks.
func (o *outage) over(c net.Conn) net.Conn {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.conns = append(o.conns, c)
	return &network{c, o, o.ended != nil}
}

type network struct {
	net.Conn
	outage *outage
	later  bool // the connection is younger than the outage
}

func (n *network) Read(b []byte) (int, error) {
	count, err := n.Conn.Read(b)
	if ended := n.outage.begun(); ended != nil && !n.later {
		<-ended
		return 0, io.EOF
	}
	return count, err
}

const cancelRequest = 80877102

// Write loses a request to cancel a statement, which pgx sends when a connection
// is lost. Whether it came in time would be chance, and a server that goes on is
// the harder case.
func (n *network) Write(b []byte) (int, error) {
	if len(b) == 16 && binary.BigEndian.Uint32(b[4:]) == cancelRequest {
		return len(b), n.Close()
	}
	return n.Conn.Write(b)
}

// neverCancels loses a client's requests to cancel a statement, and nothing else.
func neverCancels(config *pgx.ConnConfig) {
	never, dial := new(outage), config.DialFunc
	config.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return never.over(conn), nil
	}
}
