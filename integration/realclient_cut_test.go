package integration

import (
	"context"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

// cutter stands before a server. It counts the answers, and in place of some of
// them it cuts the connection: the server has done its work, and nobody hears.
type cutter struct {
	url     string
	target  string
	cuts    []int64
	links   atomic.Int64
	answers atomic.Int64
	running sync.WaitGroup
}

// newCutter cuts the answers of these numbers, the first of which is 1.
func newCutter(t *testing.T, url string, cuts ...int64) *cutter {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	c := &cutter{url: "http://" + listener.Addr().String(), target: strings.TrimPrefix(url, "http://"), cuts: cuts}
	c.running.Go(func() { c.accept(t.Context(), listener) })
	t.Cleanup(func() {
		_ = listener.Close()
		c.running.Wait() // for links that end with the test's context
	})
	return c
}

func (c *cutter) accept(ctx context.Context, listener net.Listener) {
	for {
		client, err := listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", c.target)
		if err != nil {
			_ = client.Close()
			continue
		}
		c.links.Add(1)
		cut := func() {
			_ = client.Close()
			_ = server.Close()
		}
		context.AfterFunc(ctx, cut)
		c.running.Go(func() {
			defer cut()
			_, _ = io.Copy(server, client)
		})
		c.running.Go(func() {
			defer cut()
			c.down(client, server)
		})
	}
}

// down passes on answers. Each comes in one piece: they are short, and net/http
// writes them at once.
func (c *cutter) down(client io.Writer, server io.Reader) {
	piece := make([]byte, 64<<10)
	for {
		n, err := server.Read(piece)
		if err != nil || slices.Contains(c.cuts, c.answers.Add(1)) {
			return
		}
		if _, err := client.Write(piece[:n]); err != nil {
			return
		}
	}
}
