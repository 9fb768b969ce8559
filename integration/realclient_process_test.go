package integration

import (
	"bufio"
	"encoding/json"
	"io"
	osexec "os/exec"
	"strings"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/integration/internal/written"
)

// another starts a second process of the service on the same tables. It kills
// itself with the first order that comes to where crash says, unless that is "".
func (s *ordersService) another(t ordersTest, crash string) *anotherProcess {
	t.Helper()
	p := &anotherProcess{cmd: osexec.Command(t.program, "child-of-the-demo"), ended: make(chan struct{})}
	stderr := new(written.Text)
	p.cmd.Stderr = stderr
	stdin, err := p.cmd.StdinPipe()
	require.NoError(t, err)
	stdout, err := p.cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, p.cmd.Start())
	line := make(chan string, 1)
	go func() {
		address, _ := bufio.NewReader(stdout).ReadString('\n')
		line <- address
		_, _ = io.Copy(io.Discard, stdout) // to its end, as Wait wants it
		_ = p.cmd.Wait()
		close(p.ended)
	}()
	t.Cleanup(func() {
		_ = stdin.Close() // which ends it
		p.wait(t)
	})
	config := map[string]string{"DatabaseURL": serverURL(), "Schema": s.schema, "Crash": crash}
	require.NoError(t, json.NewEncoder(stdin).Encode(config))
	p.url = strings.TrimSpace(<-line)
	require.NotEmpty(t, p.url, "%s", stderr)
	return p
}

type anotherProcess struct {
	url   string
	cmd   *osexec.Cmd
	ended chan struct{}
}

func (p *anotherProcess) wait(t ordersTest) {
	t.Helper()
	select {
	case <-p.ended:
	case <-time.After(time.Minute):
		require.FailNow(t, "the process does not end")
	}
}
