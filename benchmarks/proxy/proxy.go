// Package proxy is a network of a known latency: a TCP proxy that delays what
// passes in each direction by half of it, and does not limit how much passes.
package proxy

import (
	"errors"
	"net"
	"sync"
	"time"
)

// Proxy accepts connections until it is closed.
type Proxy struct {
	listener net.Listener
	target   string
	delay    time.Duration // of each direction

	mu    sync.Mutex
	links map[*link]bool
	done  bool
	all   sync.WaitGroup
}

// Start listens on the loopback interface for connections to target. A request
// and its answer together take roundTrip longer.
func Start(target string, roundTrip time.Duration) (*Proxy, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &Proxy{listener: listener, target: target, delay: roundTrip / 2, links: make(map[*link]bool)}
	p.all.Go(p.accept)
	return p, nil
}

// Addr is where it listens.
func (p *Proxy) Addr() string { return p.listener.Addr().String() }

// Close cuts all connections and waits until nothing is left of them.
func (p *Proxy) Close() {
	_ = p.listener.Close()
	p.mu.Lock()
	p.done = true
	for l := range p.links {
		l.cut()
	}
	p.mu.Unlock()
	p.all.Wait()
}

func (p *Proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err == nil {
			p.all.Go(func() { p.serve(client) })
		}
	}
}

func (p *Proxy) serve(client net.Conn) {
	server, err := net.Dial("tcp", p.target)
	if err != nil {
		_ = client.Close()
		return
	}
	l := &link{client: client, server: server, wait: wait}
	if !p.add(l) {
		l.cut()
		return
	}
	l.run(p.delay)
	p.mu.Lock()
	delete(p.links, l)
	p.mu.Unlock()
}

func (p *Proxy) add(l *link) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.done {
		p.links[l] = true
	}
	return !p.done
}
