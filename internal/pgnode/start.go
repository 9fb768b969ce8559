//go:build linux

package pgnode

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// errPort means that somebody else has the node's port.
var errPort = errors.New("pgnode: the port is taken")

// startAnywhere starts a node that nobody knows the port of yet.
func (n *Node) startAnywhere() {
	n.tb.Helper()
	for {
		n.port = freePort()
		err := n.start()
		if err == nil {
			return
		}
		if !errors.Is(err, errPort) {
			n.tb.Fatal(err)
		}
	}
}

// Start starts the node again, and returns when it accepts connections. A port
// that was taken in the meantime is waited for.
func (n *Node) Start() {
	n.tb.Helper()
	if n.server != nil {
		n.tb.Fatal("pgnode: the node is up")
	}
	n.await("the server can be started", func() bool {
		err := n.start()
		if err != nil && !errors.Is(err, errPort) {
			n.tb.Fatal(err)
		}
		return err == nil
	})
}

// freePort returns a port that is not in use, from below those that Linux gives
// to outgoing connections: nobody gets it by chance while the node is down.
func freePort() int {
	for {
		port := 10000 + rand.IntN(22000)
		if l, err := net.Listen("tcp4", fmt.Sprintf("127.0.0.1:%d", port)); err == nil {
			_ = l.Close()
			return port
		}
	}
}

func (n *Node) start() error {
	log, err := os.OpenFile(n.log(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	begin, err := log.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	cmd, err := n.home.command("postgres", "-D", n.data(), "-p", strconv.Itoa(n.port))
	if err != nil {
		return err
	}
	cmd.Dir = n.dir
	cmd.Env = append(cmd.Env, n.env...)
	cmd.Stdout, cmd.Stderr = log, log
	err = cmd.Start()
	_ = log.Close() // the server has its own
	if err != nil {
		return err
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = cmd.Wait()
	}()
	n.server, n.ended = cmd, ended
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); !n.ready(); {
		select {
		case <-ended:
			n.down()
			text, _ := os.ReadFile(n.log())
			if strings.Contains(string(text[begin:]), "could not create any TCP/IP sockets") {
				return errPort
			}
			return fmt.Errorf("pgnode: the server does not start: %s", text[begin:])
		case now := <-tick.C:
			if now.After(deadline) {
				return fmt.Errorf("pgnode: the server takes more than %s to start", patience)
			}
		}
	}
	return nil
}

// ready tells whether the server says in its file that it accepts connections.
func (n *Node) ready() bool {
	text, _ := os.ReadFile(filepath.Join(n.data(), "postmaster.pid"))
	lines := strings.Split(string(text), "\n")
	return len(lines) > 7 && lines[0] == strconv.Itoa(n.server.Process.Pid) && strings.TrimSpace(lines[7]) == "ready"
}

func (n *Node) log() string { return filepath.Join(n.dir, "log") }

// logTail is what the server has said last.
func (n *Node) logTail() string {
	text, _ := os.ReadFile(n.log())
	return string(text[max(0, len(text)-4000):])
}
