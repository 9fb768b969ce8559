package proxy_test

import (
	"io"
	"net"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/benchmarks/proxy"
)

func TestMain(m *testing.M) {
	proxy.Serve() // when this is the process of one
	os.Exit(m.Run())
}

func TestAProcessPassesOnWhatIsSentAndEnds(t *testing.T) {
	t.Parallel()
	var p *proxy.Process
	client, server := through(t, func(target string) string {
		var err error
		p, err = proxy.Spawn(target, roundTrip)
		require.NoError(t, err)
		return p.Addr()
	})
	_, err := client.Write([]byte("ping"))
	require.NoError(t, err)
	got := make([]byte, 4)
	_, err = io.ReadFull(server, got)
	require.NoError(t, err)
	require.Equal(t, "ping", string(got))
	require.NoError(t, p.Close())
	_, err = net.Dial("tcp", p.Addr())
	require.Error(t, err)
}
