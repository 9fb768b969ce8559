package pgwire

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	gosync "sync"

	"github.com/jackc/pgx/v5/pgconn"
)

// Inject lets judge decide on every trip of the connections that are made with
// config from now on. It is called in the client's goroutine before anything of
// the trip is sent, at the same time for several connections.
func Inject(config *pgconn.Config, judge func(*Trip) Fate) {
	connected := config.AfterNetConnect
	config.AfterNetConnect = func(ctx context.Context, config *pgconn.Config, c net.Conn) (net.Conn, error) {
		if connected != nil {
			var err error
			if c, err = connected(ctx, config, c); err != nil {
				return nil, err
			}
		}
		return &conn{Conn: c, judge: judge, up: stream{untyped: true}, texts: make(map[string]string)}, nil
	}
}

// conn is a connection whose trips are judged. As pgx does it, one goroutine may
// read while another one writes, and two may read when one of them waits for the
// server to hang up.
type conn struct {
	net.Conn
	judge func(*Trip) Fate

	// The client's side: what is not sent yet, and what its statements are.
	up      stream
	pending []byte
	trip    Trip
	texts   map[string]string // of prepared statements, by name
	bound   string

	// The server's side: what is kept back, and what may be read.
	reading gosync.Mutex
	down    stream
	held    []byte
	out     []byte

	mu      gosync.Mutex
	sent    []*Trip // not yet answered
	backend uint32
}

// Write passes on what is not part of a trip, and trips when they are complete.
func (c *conn) Write(b []byte) (int, error) {
	c.up.add(b)
	for {
		m, ok := c.up.next()
		if !ok {
			return len(b), nil
		}
		c.pending = append(c.pending, m.raw...)
		c.read(m)
		switch m.kind {
		case parse, bind, execute, 'D', 'C', 'H': // Describe, Close, Flush: the trip goes on
			continue
		case sync, query:
			if err := c.send(); err != nil {
				return 0, err
			}
		default:
			if err := c.flush(); err != nil {
				return 0, err
			}
		}
	}
}

// read notes which statements the trip executes.
func (c *conn) read(m message) {
	first, rest, _ := bytes.Cut(m.body, []byte{0})
	second, _, _ := bytes.Cut(rest, []byte{0})
	switch m.kind {
	case parse: // name, text
		c.texts[string(first)] = string(second)
	case bind: // portal, name
		c.bound = c.texts[string(second)]
	case execute:
		c.trip.Statements = append(c.trip.Statements, c.bound)
	case query:
		c.trip.Statements = append(c.trip.Statements, string(first))
	}
}

// send lets the trip meet its fate.
func (c *conn) send() error {
	t := c.trip
	c.trip = Trip{}
	c.mu.Lock()
	t.Backend = c.backend
	c.mu.Unlock()
	t.fate = c.judge(&t)
	if t.fate == Drop {
		c.pending = nil
		_ = c.Close()
		return nil
	}
	c.mu.Lock()
	c.sent = append(c.sent, &t)
	c.mu.Unlock()
	err := c.flush()
	if t.fate == Abandon {
		if t.Begun != nil {
			<-t.Begun
		}
		_ = c.Close()
	}
	return err
}

func (c *conn) flush() error {
	_, err := c.Conn.Write(c.pending)
	c.pending = nil
	return err
}

// Read returns what the server has said and the client may hear.
func (c *conn) Read(b []byte) (int, error) {
	c.reading.Lock()
	defer c.reading.Unlock()
	for len(c.out) == 0 {
		received := make([]byte, 8<<10)
		n, err := c.Conn.Read(received)
		c.down.add(received[:n])
		switch c.hear(); {
		case err == nil, len(c.out) > 0:
		case errors.Is(err, net.ErrClosed):
			return 0, io.EOF // as from a network, which is not told why
		case len(c.held) > 0:
			c.out, c.held = c.held, nil // the server's last words
		default:
			return 0, err
		}
	}
	n := copy(b, c.out)
	c.out = c.out[n:]
	return n, nil
}

// hear goes through the messages that have come in.
func (c *conn) hear() {
	for {
		m, ok := c.down.next()
		if !ok {
			return
		}
		c.held = append(c.held, m.raw...)
		t := c.heard(m)
		switch {
		case t == nil:
		case t.fate != Deliver:
			c.held = nil
			if t.fate == Swallow && m.kind == readyForQuery {
				t.answered()
				_ = c.Close()
				return
			}
			continue
		case t.Answered != nil && m.kind == readyForQuery:
			t.answered()
		case t.Answered != nil && m.kind != copyInResponse: // which waits for the client
			continue
		}
		c.out, c.held = append(c.out, c.held...), nil
	}
}

// heard returns the trip that a message answers.
func (c *conn) heard(m message) *Trip {
	c.mu.Lock()
	defer c.mu.Unlock()
	if m.kind == backendKeyData {
		c.backend = binary.BigEndian.Uint32(m.body)
	}
	if len(c.sent) == 0 { // as the answers to the startup message
		return nil
	}
	t := c.sent[0]
	if m.kind == readyForQuery {
		c.sent = c.sent[1:]
	}
	return t
}

func (t *Trip) answered() {
	if t.Answered != nil {
		t.Answered()
	}
}
