package proxy

import (
	"bytes"
	"net"
	"sync"
	"time"
)

const (
	chunkBytes = 64 << 10
	// queued is how many chunks may be under way at a time. It bounds the memory,
	// and nothing else as long as 64 MiB take longer than the delay to be sent.
	queued = 1024
)

// link is one connection.
type link struct {
	client, server net.Conn
	wait           func(time.Time)
}

// chunk is what was read at once, and when it is to arrive.
type chunk struct {
	bytes []byte
	due   time.Time
}

// run returns when both directions have ended.
func (l *link) run(delay time.Duration) {
	defer l.cut()
	// Nagle's algorithm would hold a small message back until the one before it is
	// acknowledged: a latency that nobody has asked for. Go sets this by default.
	for _, c := range []net.Conn{l.client, l.server} {
		if tcp, ok := c.(*net.TCPConn); ok {
			_ = tcp.SetNoDelay(true)
		}
	}
	var both sync.WaitGroup
	both.Go(func() { l.pass(l.client, l.server, delay) })
	both.Go(func() { l.pass(l.server, l.client, delay) })
	both.Wait()
}

// cut ends both directions at once.
func (l *link) cut() {
	_ = l.client.Close()
	_ = l.server.Close()
}

// pass delivers what from sends to to, each chunk delay after it was read, in
// the order in which it was. Chunks are under way at the same time, as in a
// network. The end of what is sent is passed on like the rest, and leaves the
// other direction open.
func (l *link) pass(from, to net.Conn, delay time.Duration) {
	under := make(chan chunk, queued)
	var reading sync.WaitGroup
	reading.Go(func() {
		defer close(under)
		buffer := make([]byte, chunkBytes)
		for {
			n, err := from.Read(buffer)
			if n > 0 {
				under <- chunk{bytes.Clone(buffer[:n]), time.Now().Add(delay)}
			}
			if err != nil {
				under <- chunk{due: time.Now().Add(delay)}
				return
			}
		}
	})
	for c := range under {
		l.wait(c.due)
		if !deliver(c, to) {
			l.cut()
		}
	}
	reading.Wait()
}

// deliver passes a chunk on; one without bytes is the end.
func deliver(c chunk, to net.Conn) bool {
	if c.bytes == nil {
		half, ok := to.(interface{ CloseWrite() error })
		return ok && half.CloseWrite() == nil
	}
	_, err := to.Write(c.bytes)
	return err == nil
}
