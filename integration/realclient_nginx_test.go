package integration

import (
	"bytes"
	"fmt"
	"net"
	"os"
	osexec "os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/integration/internal/written"
)

// nginx is a running nginx before examples/orders.
type nginx struct {
	t      *testing.T
	url    string
	stderr *written.Text
	cmd    *osexec.Cmd
	ended  chan struct{}
}

// resends has nginx send a POST to the next server, too, when the first may have
// seen it.
const resends = "proxy_next_upstream error timeout http_502 http_503 http_504 non_idempotent;"

// failover asks the second server when the first has failed.
func failover(first, second string) (servers string) {
	return fmt.Sprintf("server %s max_fails=0; server %s max_fails=0 backup;", address(first), address(second))
}

// spread asks the servers in turn.
func spread(first, second string) (servers string) {
	return fmt.Sprintf("server %s max_fails=0; server %s max_fails=0;", address(first), address(second))
}

func address(url string) string { return strings.TrimPrefix(url, "http://") }

// nginx starts one. The port that it is given may be taken by another program
// before it listens there: then it is given another.
func (t ordersTest) nginx(servers, directives string) *nginx {
	t.Helper()
	path := tool(t.T, "nginx", "nginx")
	for range 5 {
		if n := startNginx(t.T, path, servers, directives); n != nil {
			return n
		}
	}
	require.FailNow(t, "there is no port for nginx")
	return nil
}

// nginxConfig has everything in the folder that nginx is started with. It is one
// process, which needs no user to become and leaves no others behind.
const nginxConfig = `
daemon off;
master_process off;
pid nginx.pid;
events {}
http {
	access_log off;
	client_body_temp_path body;
	proxy_temp_path proxy;
	fastcgi_temp_path fastcgi;
	uwsgi_temp_path uwsgi;
	scgi_temp_path scgi;
	upstream orders {
		%s
	}
	server {
		listen %s;
		location / {
			proxy_pass http://orders;
			%s
		}
	}
}
`

// startNginx returns when nginx listens, or nil when it has no port to listen on.
func startNginx(t *testing.T, path, servers, directives string) *nginx {
	t.Helper()
	folder, port := t.TempDir(), freePort(t)
	config := fmt.Sprintf(nginxConfig, servers, port, directives)
	require.NoError(t, os.WriteFile(filepath.Join(folder, "nginx.conf"), []byte(config), 0o600))
	n := &nginx{t: t, url: "http://" + port, stderr: new(written.Text), ended: make(chan struct{})}
	n.cmd = osexec.Command(path, "-p", folder, "-c", "nginx.conf", "-e", "stderr")
	n.cmd.Stderr = n.stderr
	require.NoError(t, n.cmd.Start())
	go func() {
		_ = n.cmd.Wait()
		close(n.ended)
	}()
	t.Cleanup(n.stop)
	// It writes its number down once it listens.
	require.Eventually(t, func() bool {
		number, _ := os.ReadFile(filepath.Join(folder, "nginx.pid"))
		return n.hasEnded() || bytes.HasSuffix(number, []byte("\n"))
	}, time.Minute, 5*time.Millisecond, "%s", n.stderr)
	if n.hasEnded() {
		require.Contains(t, n.stderr.String(), "Address already in use")
		return nil
	}
	return n
}

func freePort(t *testing.T) (address string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer listener.Close()
	return listener.Addr().String()
}

func (n *nginx) hasEnded() bool {
	select {
	case <-n.ended:
		return true
	default:
		return false
	}
}

func (n *nginx) stop() {
	if !n.hasEnded() {
		_ = n.cmd.Process.Signal(os.Interrupt)
	}
	<-n.ended
	if n.t.Failed() {
		n.t.Log(n.stderr)
	}
}
