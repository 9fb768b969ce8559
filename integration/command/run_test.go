package command

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/url"
	"strings"

	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/cmd/idemtx/command"
)

// run is how the command is called, and what it has said.
type run struct {
	f        *fixture
	in       string
	env      map[string]string
	terminal bool
	heard    func(string)    // is told what is written to standard error
	ctx      context.Context // of the test, if it is nil

	code     int
	out, err string
}

// command runs the command with the fixture's table.
func (f *fixture) command(args ...string) *run {
	f.t.Helper()
	return (&run{f: f}).with(append([]string{"--database-url", f.url}, args...)...)
}

// with runs the command without a database but that of the environment.
func (r *run) with(args ...string) *run {
	r.f.t.Helper()
	if r.ctx == nil {
		r.ctx = r.f.t.Context()
	}
	var out, complaints bytes.Buffer
	p := &command.Program{
		In: strings.NewReader(r.in), Out: &out, Err: ear{&complaints, r.heard}, Getenv: func(name string) string { return r.env[name] },
		TerminalIn: r.terminal, TerminalOut: r.terminal, TerminalErr: r.terminal,
	}
	r.code = p.Run(r.ctx, append([]string{"--schema", r.f.schema, "--timeout", "1m"}, args...))
	r.out, r.err = out.String(), complaints.String()
	r.keepsQuiet(args)
	return r
}

// ear hears what is written, if there is anybody to tell it.
type ear struct {
	io.Writer
	heard func(string)
}

func (e ear) Write(text []byte) (int, error) {
	if e.heard != nil {
		e.heard(string(text))
	}
	return e.Writer.Write(text)
}

// keepsQuiet fails when there is anything in the output that is nobody's business,
// or an error has more than a line.
func (r *run) keepsQuiet(args []string) {
	r.f.t.Helper()
	password := ""
	if u, err := url.Parse(r.f.url); err == nil && u.User != nil {
		password, _ = u.User.Password()
	}
	secrets := []string{tenant, principal, password}
	if !strings.Contains(strings.Join(args, " "), "--show-reply") {
		secrets = append(secrets, answer)
	}
	for _, arg := range append(args, strings.Split(r.in, "\n")...) {
		if strings.HasPrefix(arg, "key-") {
			secrets = append(secrets, arg)
		}
	}
	for _, secret := range secrets {
		if secret != "" {
			require.NotContains(r.f.t, r.out+r.err, secret)
		}
	}
	if r.code > 1 { // the error is a line, the last one
		lines := strings.Split(strings.TrimSuffix(r.err, "\n"), "\n")
		require.True(r.f.t, strings.HasPrefix(lines[len(lines)-1], "idemtx: "), r.err)
		require.Equal(r.f.t, 1, strings.Count(r.err, "idemtx: "), r.err)
	}
}

// exits checks the exit code.
func (r *run) exits(code int) *run {
	r.f.t.Helper()
	require.Equal(r.f.t, code, r.code, "%s%s", r.out, r.err)
	return r
}

// decode reads the JSON that is the whole output, one line, and knows all its members.
func decode[T any](r *run) (value T) {
	r.f.t.Helper()
	d := json.NewDecoder(strings.NewReader(r.out))
	d.DisallowUnknownFields()
	require.NoError(r.f.t, d.Decode(&value), r.out+r.err)
	require.False(r.f.t, d.More(), r.out)
	require.Equal(r.f.t, len(r.out)-1, strings.Index(r.out, "\n"), "not one line: %s", r.out)
	return value
}

// lookup asks about a key of the fixture's scope.
func (f *fixture) lookup(key string, args ...string) *run {
	f.t.Helper()
	return f.command(append([]string{"lookup", "--tenant", tenant, "--principal", principal, key}, args...)...)
}

func contains(text string, all ...string) bool {
	for _, part := range all {
		if !strings.Contains(text, part) {
			return false
		}
	}
	return true
}
