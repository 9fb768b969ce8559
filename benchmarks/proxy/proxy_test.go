package proxy_test

import (
	"bytes"
	"crypto/rand"
	"io"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/benchmarks/proxy"
)

const roundTrip = 2 * time.Millisecond

// connect returns both ends of a connection through a proxy.
func connect(t *testing.T) (client, server *net.TCPConn) {
	t.Helper()
	return through(t, func(target string) string {
		p, err := proxy.Start(target, roundTrip)
		require.NoError(t, err)
		t.Cleanup(p.Close)
		return p.Addr()
	})
}

// through returns those of a connection through what start has listen for them.
func through(t *testing.T, start func(target string) (addr string)) (client, server *net.TCPConn) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = listener.Close() })
	c, err := net.Dial("tcp", start(listener.Addr().String()))
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Close() })
	s, err := listener.Accept()
	require.NoError(t, err)
	t.Cleanup(func() { _ = s.Close() })
	return c.(*net.TCPConn), s.(*net.TCPConn)
}

func TestWhatIsSentArrivesInItsOrderAndWhole(t *testing.T) {
	t.Parallel()
	client, server := connect(t)
	for name, ends := range map[string][2]*net.TCPConn{"up": {client, server}, "down": {server, client}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sent := make([]byte, 3<<20)
			_, _ = rand.Read(sent)
			go func() {
				for rest := sent; len(rest) > 0; {
					n := min(len(rest), 1+int(rest[0])*64)
					if _, err := ends[0].Write(rest[:n]); err != nil {
						return
					}
					rest = rest[n:]
				}
			}()
			got := make([]byte, len(sent))
			_, err := io.ReadFull(ends[1], got)
			require.NoError(t, err)
			require.True(t, bytes.Equal(sent, got))
		})
	}
}

func TestTheEndOfWhatIsSentLeavesTheOtherDirectionOpen(t *testing.T) {
	t.Parallel()
	client, server := connect(t)
	_, err := client.Write([]byte("question"))
	require.NoError(t, err)
	require.NoError(t, client.CloseWrite())
	question, err := io.ReadAll(server)
	require.NoError(t, err)
	require.Equal(t, "question", string(question))
	_, err = server.Write([]byte("answer"))
	require.NoError(t, err)
	require.NoError(t, server.Close())
	answer, err := io.ReadAll(client)
	require.NoError(t, err)
	require.Equal(t, "answer", string(answer))
}

func TestCloseCutsWhatIsOpen(t *testing.T) {
	t.Parallel()
	var p *proxy.Proxy
	client, _ := through(t, func(target string) string {
		var err error
		p, err = proxy.Start(target, roundTrip)
		require.NoError(t, err)
		return p.Addr()
	})
	p.Close()
	_, err := client.Read(make([]byte, 1))
	require.Error(t, err)
	_, err = net.Dial("tcp", p.Addr())
	require.Error(t, err)
}
