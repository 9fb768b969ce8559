package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"
)

// process is the service in a process of its own.
type process struct {
	cmd   *exec.Cmd
	stdin io.Closer // its end is the child's
	url   string
	ended chan struct{}
}

// patience is how long the end of a process may take, which is a matter of
// milliseconds, or of seconds on a machine that has much else to do.
const patience = time.Minute

// startProcess returns when the process accepts requests. It ends with ctx, and
// with this process whatever becomes of that.
func startProcess(ctx context.Context, db *database, c crash) (*process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, self, childArgument)
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
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
	p := &process{cmd: cmd, stdin: stdin, ended: make(chan struct{})}
	// On a pipe, because everybody may read a command line, and an environment is
	// inherited.
	err = json.NewEncoder(stdin).Encode(childConfig{DatabaseURL: db.server.URL, Schema: db.schema, Crash: c})
	if err == nil {
		p.url, err = bufio.NewReader(stdout).ReadString('\n')
		p.url = strings.TrimSpace(p.url)
	}
	go func() {
		_ = cmd.Wait() // how it ended is asked in killed
		close(p.ended)
	}()
	if err != nil {
		p.stop()
		return nil, fmt.Errorf("the service did not start: %w", err)
	}
	return p, nil
}

// killed waits for a process that kills itself.
func (p *process) killed(ctx context.Context) error {
	select {
	case <-p.ended:
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(patience):
		return errors.New("the process that was to be killed is running")
	}
	// A signal has no exit code; on Windows there are none, and it is 1.
	if code := p.cmd.ProcessState.ExitCode(); code != -1 && code != 1 {
		return fmt.Errorf("the process that was to be killed has ended by itself: %v", p.cmd.ProcessState)
	}
	return nil
}

// stop ends the process, if it has not ended, and waits for its end.
func (p *process) stop() {
	_ = p.stdin.Close()
	select {
	case <-p.ended:
	case <-time.After(patience):
		_ = p.cmd.Process.Kill()
		<-p.ended
	}
}
