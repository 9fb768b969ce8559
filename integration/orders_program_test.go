package integration

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"os"
	osexec "os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/integration/internal/written"
)

// ordersTest is a test of examples/orders.
type ordersTest struct {
	*testing.T
	program string
}

func buildOrders(t *testing.T) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "orders")
	// The version of a checkout that belongs to somebody else cannot be read.
	out, err := osexec.Command("go", "build", "-buildvcs=false", "-o", path, "../examples/orders").CombinedOutput()
	require.NoError(t, err, "%s", out)
	return path
}

// orders is examples/orders, running.
type orders struct {
	t      *testing.T
	cmd    *osexec.Cmd
	stdout *bufio.Reader
	stderr *written.Text
	schema string
	waited bool
}

// start returns when the tables are there. Where a test leaves the program
// running, it is interrupted, and must then end well.
func (t ordersTest) start(args ...string) *orders {
	t.Helper()
	o := &orders{t: t.T, cmd: osexec.Command(t.program, args...), stderr: new(written.Text)}
	o.cmd.Env = append(os.Environ(), "DATABASE_URL="+serverURL(), "IDEMTX_POSTGRES=url")
	o.cmd.Stderr = o.stderr
	stdout, err := o.cmd.StdoutPipe()
	require.NoError(t, err)
	o.stdout = bufio.NewReader(stdout)
	require.NoError(t, o.cmd.Start())
	t.Cleanup(func() {
		if !o.waited {
			require.NoError(t, o.interrupt())
			require.NoError(t, o.wait(), o.stderr)
			requireNoSchema(t.T, o.schema)
		}
	})
	announced := regexp.MustCompile(`the tables are in schema (idemtx_orders_example_[a-z0-9]{8}),`)
	require.Eventually(t, func() bool {
		match := announced.FindStringSubmatch(o.stderr.String())
		if match != nil {
			o.schema = match[1]
		}
		return match != nil
	}, time.Minute, 5*time.Millisecond, "%s", o.stderr)
	return o
}

// wait returns when the program has ended, and all of its children, who could
// write to standard error.
func (o *orders) wait() error {
	o.t.Helper()
	o.waited = true
	ended := make(chan error, 1)
	go func() { ended <- o.cmd.Wait() }()
	select {
	case err := <-ended:
		return err
	case <-time.After(time.Minute):
		require.FailNow(o.t, "the program or a child of it does not end", o.stderr)
		return nil
	}
}

func (o *orders) interrupt() error { return o.cmd.Process.Signal(os.Interrupt) }

func requireNoSchema(t *testing.T, schema string) {
	t.Helper()
	require.NotEmpty(t, schema)
	require.Zero(t, ask[int](t, "SELECT count(*) FROM pg_namespace WHERE nspname = $1", schema), schema)
}

// ordersService is the program serving.
type ordersService struct {
	*orders
	url   string
	curl  []string // the lines to copy
	pages string   // and where operators look
}

// serve returns when the program has said all that it says at the start.
func (t ordersTest) serve() *ordersService {
	t.Helper()
	s := &ordersService{orders: t.start("-addr", "127.0.0.1:0")}
	listening := s.lines(1)[0]
	match := regexp.MustCompile(`^orders: listening on (http://127\.0\.0\.1:\d+), Ctrl-C ends it$`).FindStringSubmatch(listening)
	require.NotNil(t, match, listening)
	s.url = match[1]
	rest := s.lines(8)
	s.curl, s.pages = rest[3:6], rest[7]
	return s
}

func (s *ordersService) lines(n int) []string {
	s.t.Helper()
	lines := make([]string, n)
	for i := range lines {
		line, err := s.stdout.ReadString('\n')
		require.NoError(s.t, err, s.stderr)
		lines[i] = strings.TrimSuffix(line, "\n")
	}
	return lines
}

// ordersAnswer is what of a response must come back in a replay, and whether it is one.
type ordersAnswer struct {
	status      int
	contentType string
	body        string
	replayed    bool
}

// first is the answer without its being a replay.
func (a ordersAnswer) first() ordersAnswer {
	a.replayed = false
	return a
}

// order sends one. Without a token or a key there is no such header.
func (s *ordersService) order(token, key, sku string, quantity int) ordersAnswer {
	s.t.Helper()
	body := fmt.Sprintf(`{"customer":"ada","sku":%q,"quantity":%d}`, sku, quantity)
	return s.send(http.MethodPost, s.url+"/orders", body, map[string]string{
		"Authorization": bearer(token), "Idempotency-Key": key, "Content-Type": "application/json",
	})
}

func (s *ordersService) get(path, token string) ordersAnswer {
	s.t.Helper()
	return s.send(http.MethodGet, s.url+path, "", map[string]string{"Authorization": bearer(token)})
}

func bearer(token string) string {
	if token == "" {
		return ""
	}
	return "Bearer " + token
}

var (
	curlHeader = regexp.MustCompile(` -H '([^:']+): ([^']+)'`)
	curlData   = regexp.MustCompile(` -d '([^']+)'`)
)

// run does what a curl line says, curl or no curl.
func (s *ordersService) run(line string) ordersAnswer {
	s.t.Helper()
	method, body := http.MethodGet, ""
	if data := curlData.FindStringSubmatch(line); data != nil {
		method, body = http.MethodPost, data[1]
	}
	header := make(map[string]string)
	for _, match := range curlHeader.FindAllStringSubmatch(line, -1) {
		header[match[1]] = match[2]
	}
	words := strings.Fields(line)
	require.Equal(s.t, []string{"curl", "-i"}, words[:2])
	return s.send(method, words[len(words)-1], body, header)
}

func (s *ordersService) send(method, url, body string, header map[string]string) ordersAnswer {
	s.t.Helper()
	request, err := http.NewRequestWithContext(s.t.Context(), method, url, strings.NewReader(body))
	require.NoError(s.t, err)
	for name, value := range header {
		if value != "" {
			request.Header.Set(name, value)
		}
	}
	response, err := http.DefaultClient.Do(request)
	require.NoError(s.t, err)
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	require.NoError(s.t, err)
	return ordersAnswer{
		status:      response.StatusCode,
		contentType: response.Header.Get("Content-Type"),
		body:        string(text),
		replayed:    response.Header.Get("Idempotency-Replayed") == "true",
	}
}
