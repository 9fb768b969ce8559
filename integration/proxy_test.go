package integration

import (
	"bytes"
	"encoding/binary"
	"io"
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

	mu      sync.Mutex
	judge   func(*trip) fate
	trips   []*trip
	links   map[*link]struct{}
	refuses bool
	closed  bool
}

// cancelRequest is what a client asks for on another connection when one is lost
// to it. It takes the same way and is lost, too.
const cancelRequest = 80877102

// link is one connection through a proxy.
type link struct {
	proxy          *proxy
	client, server net.Conn

	prepared map[string]string // by the name of the statement
	bound    string

	mu   sync.Mutex
	sent []*trip // not yet answered
	idle bool
}

func newProxy(t *testing.T) *proxy {
	t.Helper()
	config, err := pgx.ParseConfig(serverURL())
	require.NoError(t, err)
	p := &proxy{links: make(map[*link]struct{})}
	p.network, p.address = pgconn.NetworkAddress(config.Host, config.Port)
	p.listener, err = net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	p.running.Go(p.accept)
	t.Cleanup(func() {
		_ = p.listener.Close()
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

func (l *link) cut() {
	_ = l.client.Close()
	_ = l.server.Close()
}

// up passes on what the client sends, trip by trip.
func (l *link) up() {
	defer l.gone()
	_, message, err := receive(l.client, 4) // the startup message has no type
	if err != nil {
		return
	}
	if binary.BigEndian.Uint32(message[4:]) == cancelRequest {
		return
	}
	if _, err = l.server.Write(message); err != nil {
		return
	}
	var pending []byte
	t := new(trip)
	for {
		kind, message, err := receive(l.client, 5)
		if err != nil {
			return
		}
		pending = append(pending, message...)
		switch l.read(t, kind, message[5:]); kind {
		case 'P', 'B', 'D', 'E', 'C':
			continue
		case 'S', 'Q':
			if !l.send(t) {
				return
			}
		}
		if _, err := l.server.Write(pending); err != nil {
			return
		}
		if t.fate == abandon {
			return
		}
		pending, t = nil, new(trip)
	}
}

// read notes which statements a trip executes.
func (l *link) read(t *trip, kind byte, body []byte) {
	first, rest, _ := bytes.Cut(body, []byte{0})
	second, _, _ := bytes.Cut(rest, []byte{0})
	switch kind {
	case 'P': // Parse: name, text
		l.prepared[string(first)] = string(second)
	case 'B': // Bind: portal, name
		l.bound = l.prepared[string(second)]
	case 'E': // Execute
		t.statements = append(t.statements, l.bound)
	case 'Q':
		t.statements = append(t.statements, string(first))
	}
}

// send decides on a trip and, unless it is dropped, counts it.
func (l *link) send(t *trip) bool {
	p := l.proxy
	p.mu.Lock()
	judge := p.judge
	p.mu.Unlock()
	if judge != nil {
		t.fate = judge(t)
	}
	if t.fate == drop {
		return false
	}
	l.mu.Lock()
	t.idle = l.idle
	l.sent = append(l.sent, t)
	l.mu.Unlock()
	p.mu.Lock()
	p.trips = append(p.trips, t)
	p.mu.Unlock()
	return true
}

// down passes on what the server answers.
func (l *link) down() {
	defer l.gone()
	for {
		kind, message, err := receive(l.server, 5)
		if err != nil {
			return
		}
		t := l.heard(kind, message[5:])
		if t != nil && t.fate == swallow {
			if kind == 'Z' {
				return
			}
			continue
		}
		if _, err := l.client.Write(message); err != nil {
			return
		}
	}
}

// heard notes the answer to the oldest trip, which it returns.
func (l *link) heard(kind byte, body []byte) *trip {
	l.mu.Lock()
	defer l.mu.Unlock()
	if kind == 'Z' {
		l.idle = body[0] == 'I'
	}
	if len(l.sent) == 0 { // the answers to the startup message
		return nil
	}
	t := l.sent[0]
	switch kind {
	case 'C':
		t.tags = append(t.tags, string(bytes.TrimRight(body, "\x00")))
	case 'Z':
		t.ended = l.idle
		l.sent = l.sent[1:]
	}
	return t
}

func (l *link) gone() {
	l.cut()
	l.proxy.mu.Lock()
	defer l.proxy.mu.Unlock()
	delete(l.proxy.links, l)
}

// receive reads one message with a header of 5 bytes, or 4 when it has no type.
func receive(r io.Reader, header int) (kind byte, message []byte, err error) {
	message = make([]byte, header)
	if _, err := io.ReadFull(r, message); err != nil {
		return 0, nil, err
	}
	length := int(binary.BigEndian.Uint32(message[header-4:])) - 4
	body := make([]byte, length)
	_, err = io.ReadFull(r, body)
	return message[0], append(message, body...), err
}
