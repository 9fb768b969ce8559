package integration

import (
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"sync"
)

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
		if !l.pass(t, pending) {
			return
		}
		pending, t = nil, new(trip)
	}
}

// pass gives a trip to the server. It tells whether the client is listened to any
// more.
func (l *link) pass(t *trip, pending []byte) bool {
	if _, err := l.server.Write(pending); err != nil {
		return false
	}
	if t.fate == shut {
		closeWrite(l.server)
		_, _ = io.Copy(io.Discard, l.client) // until the server has ended, and down with it
	}
	if t.fate == abandon && t.begun != nil {
		<-t.begun
	}
	return t.fate != abandon && t.fate != shut
}

// closeWrite ends what is said to the one at the other end of c, and not what is
// heard from there.
func closeWrite(c net.Conn) {
	_ = c.(interface{ CloseWrite() error }).CloseWrite()
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
		if t != nil && (t.fate == swallow || t.fate == mute) {
			if kind == 'Z' && t.fate == swallow {
				return
			}
			if kind == 'Z' {
				closeWrite(l.client)
			}
			continue
		}
		if t != nil && t.answer != nil {
			select {
			case <-t.answer:
			case <-l.proxy.over:
			}
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
