package outbox

import (
	"io"
	"net"
	"net/url"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"
)

// wire stands between a process and PostgreSQL.
type wire struct {
	url              string
	network, address string
	listener         net.Listener

	answers sync.RWMutex // locked while no answer is handed on
	running sync.WaitGroup
}

func newWire(t *testing.T) *wire {
	t.Helper()
	config, err := pgx.ParseConfig(server.URL)
	require.NoError(t, err)
	w := &wire{}
	w.network, w.address = pgconn.NetworkAddress(config.Host, config.Port)
	w.listener, err = net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	w.url = (&url.URL{
		Scheme: "postgres", User: url.UserPassword(config.User, config.Password), Host: w.listener.Addr().String(),
		Path: "/" + config.Database, RawQuery: "sslmode=disable",
	}).String()
	w.running.Go(w.accept)
	t.Cleanup(func() { // when the processes are dead, whose connections end then
		_ = w.listener.Close()
		w.running.Wait()
	})
	return w
}

// hold keeps all answers that have not been handed on. It cannot be undone but by
// release.
func (w *wire) hold()    { w.answers.Lock() }
func (w *wire) release() { w.answers.Unlock() }

func (w *wire) accept() {
	for {
		client, err := w.listener.Accept()
		if err != nil {
			return
		}
		w.running.Go(func() { w.link(client) })
	}
}

// link lasts until either side ends it.
func (w *wire) link(client net.Conn) {
	defer client.Close()
	server, err := net.Dial(w.network, w.address)
	if err != nil {
		return
	}
	defer server.Close()
	w.running.Go(func() {
		_, _ = io.Copy(server, client)
		server.Close()
	})
	for chunk := make([]byte, 16<<10); ; {
		n, err := server.Read(chunk)
		if n > 0 {
			w.answers.RLock()
			_, _ = client.Write(chunk[:n])
			w.answers.RUnlock()
		}
		if err != nil {
			return
		}
	}
}
