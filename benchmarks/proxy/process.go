package proxy

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"
)

// variable tells a process that it is a proxy, whose, and how slow.
const variable = "IDEMTX_BENCHMARKS_PROXY"

// Process is a proxy in a process of its own. In that of the clients its waiting
// threads would hold up theirs.
type Process struct {
	addr    string
	control io.Closer
	wait    func() error
}

// Spawn runs this program again, which has to begin with [Serve]. The process ends
// with this one, however that does.
func Spawn(target string, roundTrip time.Duration) (*Process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(self)
	// A thread that waits counts as one that works until somebody notices.
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s %d", variable, target, roundTrip.Nanoseconds()), "GOMAXPROCS=64")
	cmd.Stderr = os.Stderr
	control, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &Process{control: control, wait: cmd.Wait}
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		return nil, errors.Join(errors.New("the proxy does not start"), p.Close())
	}
	p.addr = strings.TrimSpace(line)
	return p, nil
}

// Addr is where it listens.
func (p *Process) Addr() string { return p.addr }

// Close ends it.
func (p *Process) Close() error {
	_ = p.control.Close()
	return p.wait()
}

// Serve does nothing but in a process that Spawn has started, which it ends.
func Serve() {
	var target string
	var nanoseconds int64
	if _, err := fmt.Sscanf(os.Getenv(variable), "%s %d", &target, &nanoseconds); err != nil {
		return
	}
	p, err := Start(target, time.Duration(nanoseconds))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(p.Addr())
	_, _ = io.Copy(io.Discard, os.Stdin) // until the other end is closed
	os.Exit(0)
}
