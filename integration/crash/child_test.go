package crash

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/internal/pgwire"
)

// childhood is set in the environment of a process that is to be killed.
const childhood = "IDEMTX_CRASH_CHILD"

// errand is what a child is told first: to make a call that will be held at a
// point.
type errand struct {
	URL, Schema, Key string
	Point            int // in points()
}

// report is what a child says: where it is held, or what it was told.
type report struct {
	Backend uint32
	Answer  *answer
}

// child is another process as the caller. It has no time to hear of its death.
type child struct {
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	stderr bytes.Buffer
	at     chan uint32
	end    chan answer
	dead   chan struct{}
}

func (c *child) arrived() <-chan uint32 { return c.at }
func (c *child) goOn(pgwire.Fate)       { _, _ = io.WriteString(c.stdin, "\n") }
func (c *child) told() <-chan answer    { return c.end }

// bear starts a child that makes the trial's call.
func (x *trial) bear(t *testing.T) *child {
	t.Helper()
	c := &child{
		cmd: exec.Command(os.Args[0]), at: make(chan uint32, 1), end: make(chan answer, 1), dead: make(chan struct{}),
	}
	c.cmd.Env = append(os.Environ(), childhood+"=1")
	c.cmd.Stderr = &c.stderr
	var err error
	c.stdin, err = c.cmd.StdinPipe()
	require.NoError(t, err)
	stdout, err := c.cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, c.cmd.Start())
	x.life.Cleanup(func() {
		_ = c.stdin.Close() // which ends it
		<-c.dead
	})
	go func() {
		defer close(c.dead)
		c.listen(stdout)
		_ = c.cmd.Wait()
	}()
	require.NoError(t, json.NewEncoder(c.stdin).Encode(errand{x.host.url, x.schema, x.key, x.index}))
	return c
}

func (c *child) listen(stdout io.Reader) {
	for reports := json.NewDecoder(stdout); ; {
		var r report
		switch err := reports.Decode(&r); {
		case err != nil:
			return
		case r.Answer != nil:
			c.end <- *r.Answer
		default:
			c.at <- r.Backend
		}
	}
}

// kill sends SIGKILL, and sees that nothing else has ended the child.
func (c *child) kill(t *testing.T) {
	t.Helper()
	require.NoError(t, c.cmd.Process.Kill())
	select {
	case <-c.dead:
	case <-time.After(patience):
		require.FailNow(t, "the child does not die")
	}
	require.Equal(t, -1, c.cmd.ProcessState.ExitCode(), "it was not killed: %s", &c.stderr)
}

// live is the life of a child.
func live() {
	lines := bufio.NewReader(os.Stdin)
	first, err := lines.ReadBytes('\n')
	next := make(chan struct{})
	go func() {
		for {
			if _, err := lines.ReadByte(); err != nil {
				os.Exit(1) // its parent is gone
			}
			next <- struct{}{}
		}
	}()
	var e errand
	if err == nil {
		err = json.Unmarshal(first, &e)
	}
	if err == nil {
		err = e.run(next)
	}
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

func (e errand) run(next <-chan struct{}) error {
	ctx := context.Background()
	p := points()[e.Point]
	w := p.of()
	say := json.NewEncoder(os.Stdout)
	g := &guide{point: p, hold: func(backend uint32) pgwire.Fate {
		_ = say.Encode(report{Backend: backend})
		<-next
		return pgwire.Deliver
	}}
	config := poolConfig(e.URL, e.Key)
	pgwire.Inject(&config.ConnConfig.Config, g.judge)
	neverCancels(config.ConnConfig)
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return err
	}
	c, err := newClient(pool, e.Schema, e.Key, w)
	if err != nil {
		return err
	}
	if err := c.prepare(ctx, w); err != nil {
		return err
	}
	g.armed.Store(true)
	h := handler{label: "call", ends: w.ends}
	if w.lease && !p.over() {
		h.worked = func() { select {} } // until it is killed
	}
	a := c.call(ctx, w.mode, 0, h)
	_ = say.Encode(report{Answer: &a})
	select {} // until it is killed
}
