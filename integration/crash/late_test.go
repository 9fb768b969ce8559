package crash

import (
	"context"
	"io"
	"net"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemtx"
	"github.com/idemtx/idemtx/internal/pgwire"
)

// TestLatePipeline loses a connection with the whole of a DoBatch on the way, which
// comes all the same, when its client has long gone on.
func TestLatePipeline(t *testing.T) {
	t.Parallel()
	h := newHost(t, server.URL)
	for name, test := range map[string]func(*testing.T, *trial){
		"when the caller has been told":   comesAfterTheReply,
		"when the caller has given up":    comesAfterTheCaller,
		"when a retry has been told":      comesAfterTheRetry,
		"while the call is at its work":   comesAtTheWork,
		"when a later attempt has failed": comesAfterAFailure,
		"when another has had the key":    comesAfterAnother,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			way := slices.IndexFunc(ways, func(w way) bool { return w.mode == idemtx.ModeDoBatch })
			x := &trial{
				point: point{way, 0, before}, death: connection, next: another,
				host: h, life: t, post: &post{letters: make(chan *letter, 1)},
			}
			x.begin(t)
			test(t, x)
			require.Equal(t, done, x.state(t), "once, and once only")
			again := x.call(t, "at last", replying)
			x.requireReply(t, again, true)
			if x.got.Told == theReply {
				require.Equal(t, x.got.Value, again.Value)
			}
		})
	}
}

func comesAfterTheReply(t *testing.T, x *trial) {
	late := x.mislay(t)
	x.hear(t)
	require.Equal(t, theReply, x.got.Told, x.got)
	x.requireReply(t, x.got, false)
	late.arrive(t)
}

func comesAfterTheCaller(t *testing.T, x *trial) {
	x.giveUp(t).arrive(t)
	x.requireReply(t, x.call(t, "again", replying), true)
}

func comesAfterTheRetry(t *testing.T, x *trial) {
	late := x.giveUp(t)
	x.requireReply(t, x.call(t, "again", replying), false)
	late.arrive(t)
}

func comesAtTheWork(t *testing.T, x *trial) {
	x.shut(t)
	late := x.mislay(t)
	x.held(t)
	late.arrive(t)
	require.NoError(t, x.open())
	x.hear(t)
	require.Equal(t, theReply, x.got.Told, x.got)
}

// What a later attempt says of the work is not the last word.
func comesAfterAFailure(t *testing.T, x *trial) {
	x.shut(t)
	late := x.mislay(t)
	require.True(t, ask[bool](t, x.host, "SELECT pg_cancel_backend($1::int)", int64(x.held(t))))
	x.hear(t)
	require.Equal(t, unknown, x.got.Told, x.got)
	require.Contains(t, x.got.Err, "57014")
	require.NoError(t, x.open())
	require.Equal(t, untouched, x.state(t))
	late.arrive(t)
}

// A request in flight is in the way, and then fails.
func comesAfterAnother(t *testing.T, x *trial) {
	other := x.retrier(t)
	r, err := other.request(0)
	require.NoError(t, err)
	r.Payload = "another lamp"
	var late *letter
	_, err = idemtx.DoPool(t.Context(), other.store, r, func(context.Context) (order, error) {
		late = x.mislay(t)
		x.hear(t)
		return order{}, errHandler
	})
	require.ErrorIs(t, err, errHandler)
	require.Equal(t, unknown, x.got.Told, x.got)
	require.Contains(t, x.got.Err, idemtx.ErrMismatch.Error())
	require.Equal(t, untouched, x.state(t))
	late.arrive(t)
}

// giveUp has the caller leave while a later attempt is at the work.
func (x *trial) giveUp(t *testing.T) (late *letter) {
	t.Helper()
	x.shut(t)
	late = x.mislay(t)
	x.held(t)
	x.own.leave()
	x.hear(t)
	require.Equal(t, unknown, x.got.Told, x.got)
	require.NoError(t, x.open())
	x.quiet(t)
	require.Equal(t, untouched, x.state(t))
	return late
}

// mislay returns the call's pipeline, of which the server has not heard when the
// connection is lost.
func (x *trial) mislay(t *testing.T) *letter {
	t.Helper()
	x.arrive(t)
	x.post.keeps.Store(true)
	x.caller.goOn(pgwire.Deliver)
	select {
	case l := <-x.post.letters:
		t.Cleanup(func() { _ = l.Conn.Close() })
		return l
	case <-time.After(patience):
		require.FailNow(t, "the call does not send its pipeline")
		return nil
	}
}

// post is a network that takes what is written to it, when it is told to, and hangs
// up on the client; the server hears of neither before the letter arrives.
type post struct {
	keeps   atomic.Bool
	letters chan *letter
}

func (p *post) over(c net.Conn) net.Conn {
	if p == nil {
		return c
	}
	return &letter{Conn: c, post: p}
}

// letter is a connection, and the bytes that are on their way through it.
type letter struct {
	net.Conn
	post *post
	late atomic.Pointer[[]byte]
}

func (l *letter) Write(b []byte) (int, error) {
	switch {
	case l.late.Load() != nil: // as a farewell
		return len(b), nil
	case !l.post.keeps.CompareAndSwap(true, false):
		return l.Conn.Write(b)
	}
	kept := slices.Clone(b)
	l.late.Store(&kept)
	l.post.letters <- l
	return len(b), l.SetReadDeadline(time.Now()) // which ends a Read that waits
}

func (l *letter) Read(b []byte) (int, error) {
	n, err := l.Conn.Read(b)
	if l.late.Load() != nil {
		return 0, io.EOF
	}
	return n, err
}

func (l *letter) SetDeadline(at time.Time) error {
	if l.late.Load() != nil {
		return nil
	}
	return l.Conn.SetDeadline(at)
}

func (l *letter) Close() error {
	if l.late.Load() != nil {
		return nil
	}
	return l.Conn.Close()
}

// arrive has the server do what the letter says, and waits until it has.
func (l *letter) arrive(t *testing.T) {
	t.Helper()
	require.NoError(t, l.Conn.SetDeadline(time.Now().Add(patience)))
	_, err := l.Conn.Write(*l.late.Load())
	require.NoError(t, err)
	require.NoError(t, l.Conn.(interface{ CloseWrite() error }).CloseWrite())
	_, err = io.Copy(io.Discard, l.Conn) // until the backend ends
	require.NoError(t, err)
}
