package outbox

import (
	"bufio"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/integration/internal/written"
)

// process is examples/orders, serving in a scene.
type process struct {
	*scene
	name   string
	cmd    *exec.Cmd
	stdout *bufio.Reader
	stderr *written.Text
	url    string
	dead   chan struct{}
}

// start returns when the process takes orders.
func (s *scene) start(name string, args ...string) *process {
	s.Helper()
	return s.startAt(server.URL, name, args...)
}

// worker starts a process that works jobs, and calls the provider past the desk.
func (s *scene) worker(name string) *process {
	s.Helper()
	return s.start(name, "-mail", s.desk.url)
}

func (s *scene) startAt(database, name string, args ...string) *process {
	s.Helper()
	p := s.launch(database, name, args...)
	p.listening()
	return p
}

// launch does not wait.
func (s *scene) launch(database, name string, args ...string) *process {
	s.Helper()
	p := &process{
		scene: s, name: name, stderr: new(written.Text), dead: make(chan struct{}),
		cmd: exec.Command(program, append([]string{"-addr", "127.0.0.1:0", "-schema", s.schema}, args...)...),
	}
	p.cmd.Env = append(os.Environ(), "IDEMTX_POSTGRES=url", "DATABASE_URL="+database, "PGAPPNAME="+p.application())
	p.cmd.Stderr = p.stderr
	stdout, err := p.cmd.StdoutPipe()
	require.NoError(s, err)
	p.stdout = bufio.NewReader(stdout)
	require.NoError(s, p.cmd.Start())
	s.processes = append(s.processes, p)
	return p
}

// application is what PostgreSQL knows the process as.
func (p *process) application() string { return p.schema + " " + p.name }

var (
	listening = regexp.MustCompile(`^orders: listening on (http://127\.0\.0\.1:\d+), `)
	mailing   = regexp.MustCompile(`orders: the mails that are sent: curl (http://127\.0\.0\.1:\d+/mails)`)
)

// listening waits until the process takes orders, which is the last that it says.
func (p *process) listening() {
	p.Helper()
	line, err := p.stdout.ReadString('\n')
	require.NoError(p, err, p.stderr)
	match := listening.FindStringSubmatch(line)
	require.NotNil(p, match, line)
	p.url = match[1]
}

// mails waits for the URL of the process's own mail provider.
func (p *process) mails() (url string) {
	p.Helper()
	p.until("the provider's URL is told", func() bool {
		match := mailing.FindStringSubmatch(p.stderr.String())
		if match != nil {
			url = match[1]
		}
		return match != nil
	})
	return url
}

// killed sends SIGKILL. Nothing else has ended the process.
func (p *process) killed() {
	p.Helper()
	require.NoError(p, p.cmd.Process.Kill())
	require.Error(p, p.wait())
	require.Equal(p, -1, p.cmd.ProcessState.ExitCode(), p.stderr)
}

// interrupted ends the process as a user does, if it has not ended. It ends well.
func (p *process) interrupted() {
	p.Helper()
	if p.ended() {
		return
	}
	require.NoError(p, p.cmd.Process.Signal(os.Interrupt))
	require.NoError(p, p.wait(), "%s: %s", p.name, p.stderr)
}

func (p *process) ended() bool {
	select {
	case <-p.dead:
		return true
	default:
		return false
	}
}

func (p *process) wait() error {
	p.Helper()
	ended := make(chan error, 1)
	go func() {
		_, _ = io.Copy(io.Discard, p.stdout)
		ended <- p.cmd.Wait()
		close(p.dead)
	}()
	select {
	case err := <-ended:
		return err
	case <-time.After(patience):
		_ = p.cmd.Process.Kill()
		require.FailNow(p, p.name+" does not end", p.stderr)
		return nil
	}
}

// says waits for a line of standard output.
func (p *process) says(what string) {
	p.Helper()
	for {
		line, err := p.stdout.ReadString('\n')
		require.NoError(p, err, p.stderr)
		if strings.TrimSuffix(line, "\n") == what {
			return
		}
	}
}
