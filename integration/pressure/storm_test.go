package pressure

import (
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemtx"
)

// inner is a child as the test has it.
type inner struct {
	t    *testing.T
	task task

	cmd     *exec.Cmd
	stdin   io.Closer
	reports chan report
	ended   chan error
	stderr  strings.Builder
}

func (d *database) start(t *testing.T, name string, to task) *inner {
	t.Helper()
	to.URL, to.Schema, to.Application = server.URL, d.schema, name
	text, err := json.Marshal(to)
	require.NoError(t, err)
	c := &inner{
		t: t, task: to, cmd: exec.Command(os.Args[0]),
		reports: make(chan report, 2), ended: make(chan error, 1),
	}
	c.cmd.Env = append(os.Environ(), childTask+"="+string(text))
	c.cmd.Stderr = &c.stderr
	c.stdin, err = c.cmd.StdinPipe()
	require.NoError(t, err)
	stdout, err := c.cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, c.cmd.Start())
	t.Cleanup(func() { _ = c.cmd.Process.Kill() })
	go func() {
		defer close(c.ended)
		defer close(c.reports)
		for decoder := json.NewDecoder(stdout); ; {
			var r report
			if err := decoder.Decode(&r); err != nil {
				break
			}
			c.reports <- r
		}
		c.ended <- c.cmd.Wait()
	}()
	return c
}

// next returns the child's next report.
func (c *inner) next() report {
	c.t.Helper()
	select {
	case r, ok := <-c.reports:
		require.True(c.t, ok, "%s has ended: %s", c.task.Application, &c.stderr)
		require.Empty(c.t, r.Errors, c.task.Application)
		return r
	case <-time.After(2 * patience):
		require.FailNow(c.t, "the child says nothing")
		return report{}
	}
}

// last lets the handlers of hot keys return, and returns what the child says at its
// end.
func (c *inner) last() report {
	c.t.Helper()
	r := c.next()
	require.NoError(c.t, receive(c.t, "the child ends", c.ended), "%s", &c.stderr)
	return r
}

const (
	hundreds = 200
	cold     = 10
)

// storms begin with a child whose handlers have the hot keys, by one way in or the
// other.
var storms = map[string]task{
	"Do":     {MaxConns: 3, Callers: map[idemtx.Mode]int{idemtx.ModeDo: hundreds}, Pages: hundreds, Holds: 2, Cold: cold},
	"DoPool": {MaxConns: 3, Callers: map[idemtx.Mode]int{idemtx.ModeDoPool: hundreds}, Pages: hundreds, Holds: 2, Cold: cold},
}

// The others have fewer connections than hot keys and cold ones need, just enough,
// and some more. Those of DoTx wait on what connections there are.
var others = map[string]task{
	"one":  {MaxConns: 1, Callers: map[idemtx.Mode]int{idemtx.ModeDo: hundreds}},
	"two":  {MaxConns: 2, Callers: map[idemtx.Mode]int{idemtx.ModeDo: hundreds, idemtx.ModeDoPool: hundreds}, Cold: cold},
	"tx":   {MaxConns: 2, Callers: map[idemtx.Mode]int{idemtx.ModeDoTx: hundreds}},
	"four": {MaxConns: 4, Callers: map[idemtx.Mode]int{idemtx.ModeDo: hundreds, idemtx.ModeDoPool: hundreds}, Pages: hundreds, Cold: cold},
}

// TestStorm sends callers by the hundred, from several processes with small pools,
// at two keys whose handlers do not return before all are there.
func TestStorm(t *testing.T) { //nolint:paralleltest // looks at all goroutines
	for name, first := range storms { //nolint:paralleltest // as above
		t.Run(name, func(t *testing.T) {
			left := leaks(t)
			d := newDatabase(t)
			holder := d.start(t, "holder", first)
			// Its cold keys' calls come through while its handlers are held.
			require.Equal(t, 2, holder.held().Ran)
			children := []*inner{holder}
			for name, to := range others {
				children = append(children, d.start(t, name, to))
			}
			for _, c := range children[1:] {
				require.Zero(t, c.held().Ran)
			}
			require.Zero(t, d.rows(hotPage), "the handlers are held")
			for _, c := range children {
				require.NoError(t, c.stdin.Close())
			}
			replies := make(map[string]int)
			for _, c := range children {
				c.requireDone(replies)
			}
			require.Len(t, replies, 2, "one reply of each hot key: %v", replies)
			for _, key := range []string{hotKey, hotPage} {
				require.Equal(t, 1, d.effects(key))
				require.Equal(t, 1, d.rows(key))
			}
			left()
		})
	}
}

// held is the report of a child whose calls of hot keys wait, for its own handlers
// or for another process, and whose calls of cold keys have ended.
func (c *inner) held() report {
	c.t.Helper()
	r := c.next()
	require.Equal(c.t, c.task.Cold*len(modes), r.Cold, c.task.Application)
	require.Empty(c.t, r.Replies)
	c.requireFrugal(r)
	return r
}

// requireFrugal: of a hot key's callers one at a time has a connection.
func (c *inner) requireFrugal(r report) {
	c.t.Helper()
	if c.task.Callers[idemtx.ModeDoTx] == 0 {
		require.Equal(c.t, 1, r.Hot.Most, c.task.Application)
	}
	require.LessOrEqual(c.t, r.Page.Most, 1, c.task.Application)
	require.LessOrEqual(c.t, r.New, int64(c.task.MaxConns), "a connection was lost")
	require.Zero(c.t, r.Canceled)
}

// requireDone makes sure that all calls have ended well, and adds their replies.
func (c *inner) requireDone(replies map[string]int) {
	c.t.Helper()
	r := c.last()
	c.requireFrugal(r)
	require.Empty(c.t, r.Leak)
	require.Zero(c.t, r.Acquired)
	calls, ended := c.task.Pages, r.InFlight
	for _, n := range c.task.Callers {
		calls += n
	}
	for reply, n := range r.Replies {
		replies[reply] += n
		ended += n
	}
	require.Equal(c.t, calls, ended)
	// The others are given the reply in memory.
	require.LessOrEqual(c.t, r.Page.Taken, c.task.Pages/4)
}
