package integration

import (
	"net"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemtx"
)

// proxy stands between a pool and the server. It counts what goes over the wire
// and loses what a test chooses.
type proxy struct {
	listener net.Listener
	network  string
	address  string
	running  sync.WaitGroup
	over     chan struct{} // closed when the test is

	mu      sync.Mutex
	judge   func(*trip) fate
	trips   []*trip
	links   map[*link]struct{}
	refuses bool
	closed  bool
}

func newProxy(t *testing.T) *proxy {
	t.Helper()
	config, err := pgx.ParseConfig(serverURL())
	require.NoError(t, err)
	p := &proxy{links: make(map[*link]struct{}), over: make(chan struct{})}
	p.network, p.address = pgconn.NetworkAddress(config.Host, config.Port)
	p.listener, err = net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	p.running.Go(p.accept)
	t.Cleanup(func() {
		_ = p.listener.Close()
		close(p.over)
		p.mu.Lock()
		p.closed = true
		p.mu.Unlock()
		p.cut()
		p.running.Wait()
	})
	return p
}

// through makes a pool connect through p. It pings no idle connection, so that
// what is counted does not depend on how long a test takes.
func through(p *proxy) option {
	return func(c *pgxpool.Config, s *idemtx.Config) {
		address := p.listener.Addr().(*net.TCPAddr)
		c.ConnConfig.Host, c.ConnConfig.Port = address.IP.String(), uint16(address.Port)
		c.ConnConfig.Fallbacks, c.ConnConfig.TLSConfig = nil, nil
		unpinged(c, s)
	}
}

// meet decides on the fate of the trips to come. It is called before a trip is
// passed on, which waits for it.
func (p *proxy) meet(judge func(*trip) fate) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.judge = judge
}

// refuse makes the server unreachable for new connections, or reachable again.
func (p *proxy) refuse(refuses bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refuses = refuses
}

// cut cuts all connections.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for l := range p.links {
		l.cut()
	}
}

// passed returns the trips that were passed on to the server so far.
func (p *proxy) passed() []*trip {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.trips[:len(p.trips):len(p.trips)]
}

// during returns the trips that fn causes.
func (p *proxy) during(fn func()) []*trip {
	before := len(p.passed())
	fn()
	return p.passed()[before:]
}

// hangUp cuts the clients off. The server does not hear of it before what its
// connections are about to pass on has met its fate.
func (p *proxy) hangUp() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for l := range p.links {
		_ = l.client.Close()
	}
}

func (p *proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		if l := p.connect(client); l != nil {
			p.running.Go(l.up)
			p.running.Go(l.down)
		}
	}
}

func (p *proxy) connect(client net.Conn) *link {
	p.mu.Lock()
	refuses := p.refuses
	p.mu.Unlock()
	if refuses {
		_ = client.Close()
		return nil
	}
	server, err := net.Dial(p.network, p.address)
	if err != nil {
		_ = client.Close()
		return nil
	}
	l := &link{proxy: p, client: client, server: server, prepared: make(map[string]string)}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		l.cut()
		return nil
	}
	p.links[l] = struct{}{}
	return l
}
