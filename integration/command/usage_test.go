package command

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemtx"
)

// A wrong command line is told apart from a database that does not answer, in one
// line, which quotes nothing that may be a key.
func TestUsage(t *testing.T) {
	t.Parallel()
	f := newEmpty(t)
	const secret = "key-that-nobody-sees"
	for _, args := range []string{
		secret, "look" + secret, "-" + secret, "--" + secret, "--" + secret + "=1", "stats " + secret, "sweep " + secret, "doctor " + secret,
		"version " + secret, "help " + secret, "help lookup " + secret, "completion " + secret, "completion bash " + secret, "schema " + secret, "schema verify " + secret, "schema print " + secret,
		"lookup", "lookup " + secret, "lookup --principal p", "lookup --principal p " + secret + " " + secret,
		"lookup --principal p -" + secret, "lookup --principal p --key-stdin " + secret, "lookup --principal p --more= " + secret,
		"lookup --principal p " + secret + "é", "lookup --principal p " + secret + strings.Repeat("x", 255), "lookup --principal p -",
		"forget", "forget --principal p " + secret, "forget --yes " + secret, "forget --yes --principal p " + secret + " " + secret,
		"sweep --batch 0", "sweep --batch 100001", "sweep --max -1", "sweep --pause -1s", "sweep --batch many",
		"--table Replies stats", "--timeout soon stats", "schema print --partitions 1", "doctor --fail-on ok",
		"stats --database-url", "stats --key-secret-file /nowhere/at/all",
		"lookup --principal p --key-stdin=" + secret, "forget --yes=" + secret, "stats --json=" + secret, "sweep --batch " + secret,
	} {
		r := (&run{f: f}).with(append([]string{"--database-url", f.url}, strings.Split(args, " ")...)...)
		require.Equal(t, 2, r.code, "%s: %s%s", args, r.out, r.err)
		require.Empty(t, r.out, args)
		require.Equal(t, 1, strings.Count(r.err, "\n"), r.err)
		require.NotContains(t, r.err, secret)
	}
	require.Contains(t, (&run{f: f}).with("lokup").exits(2).err, "or was it lookup?")
	for _, args := range [][]string{{"nothing"}, {"schema", "nothing"}, {"completion", "nothing"}} {
		_, see, found := strings.Cut((&run{f: f}).with(args...).exits(2).err, "see idemtx ")
		require.True(t, found)
		(&run{f: f}).with(strings.Fields(see)...).exits(0)
	}
}

// No part of a URL gets out, wherever a character too many has put the password.
func TestURLIsNotQuoted(t *testing.T) {
	t.Parallel()
	f := newEmpty(t)
	for _, wrong := range []string{
		"postgres://jones:open/sesame@127.0.0.1/db", "postgres://jones:opensesame@127.0.0.1:port/db", "postgres://jones:%zzopensesame@h/db",
		"host=127.0.0.1 password=open sesame port=x", "opensesame", "postgres://jones:opensesame@h/db?sslmode=sesame",
		"postgres://jones:opensesame@h/db?service=sesame&servicefile=/nowhere/sesame",
	} {
		r := (&run{f: f}).with("--database-url", wrong, "stats").exits(2)
		require.NotContains(t, r.err, "sesame")
		require.NotContains(t, r.err, "open")
	}
	r := (&run{f: f}).with("--database-url", "postgres://jones:opensesame@127.0.0.1:1/db", "stats").exits(3)
	require.NotContains(t, r.err, "sesame")
	require.Contains(t, r.err, "connect")
	require.NotContains(t, r.err, "scany")
	require.Equal(t, 1, strings.Count(r.err, "\n"))
}

// A server that refuses is 3, and so is one that does not answer in time.
func TestDatabaseFails(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	role := f.role("INSERT")
	as := f.under("role=" + role)
	for _, args := range [][]string{{"stats"}, {"sweep"}, {"lookup", "--principal", "p", key}, {"forget", "--yes", "--principal", "p", key}} {
		r := (&run{f: f}).with(append([]string{"--database-url", as}, args...)...).exits(3)
		require.Contains(t, r.err, "GRANT SELECT", "it says what is missing")
		r = (&run{f: f}).with(append([]string{"--database-url", f.url, "--table", "elsewhere"}, args...)...).exits(3)
		require.Contains(t, r.err, "missing", "no key is absent from a table that is not there")
	}
	tx, err := f.pool.Begin(t.Context())
	require.NoError(t, err)
	_, err = tx.Exec(t.Context(), "LOCK TABLE "+f.table())
	require.NoError(t, err)
	r := (&run{f: f}).with("--database-url", f.url, "--timeout", "300ms", "stats").exits(3)
	require.Equal(t, "idemtx: the database has not answered within 300ms: see --timeout\n", r.err)
	require.NoError(t, tx.Rollback(t.Context()))
	(&run{f: f}).with("--database-url", f.url, "--timeout", "0", "stats").exits(0)
	r = (&run{f: f}).with("--database-url", f.url, "--timeout", "1ns", "lookup", "--principal", "p", "é").exits(2)
	require.NotContains(t, r.err, "answered", "nothing was asked")
	for _, command := range []string{"lookup", "forget"} {
		r = (&run{f: f}).with("--database-url", "nonsense", command, "--principal", "p", "--key-stdin", "argument").exits(2)
		require.Contains(t, r.err, "on standard input", "the key is read before a database has to be there")
	}
}

// What a connection takes has a limit of its own, which is not that of --timeout.
func TestConnectionFails(t *testing.T) {
	t.Parallel()
	f := newEmpty(t)
	deaf, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer deaf.Close()
	at := "postgres://" + deaf.Addr().String() + "/db?sslmode=disable&connect_timeout=1"
	for _, command := range []string{"stats", "sweep", "doctor"} {
		r := (&run{f: f}).with("--database-url", at, command).exits(3)
		require.Contains(t, r.err, "connect")
		require.NotContains(t, r.err, "--timeout")
		require.NotContains(t, r.err, "swept all the same")
	}
}

// The exit codes are in the help, and whoever asks for it has not failed.
func TestHelp(t *testing.T) {
	t.Parallel()
	f := newEmpty(t)
	for _, args := range [][]string{{}, {"help"}, {"--help"}, {"-h"}} {
		r := (&run{f: f}).with(args...).exits(0)
		require.Contains(t, r.out, "Exit codes:")
		for _, command := range []string{"schema", "lookup", "stats", "sweep", "forget", "doctor", "completion", "version"} {
			require.Contains(t, r.out, "\n  "+command)
		}
	}
	require.Contains(t, (&run{f: f}).with("help", "schema", "print").exits(0).out, "--partitions")
	require.Contains(t, (&run{f: f}).with("completion").exits(0).out, "bash")
	r := (&run{f: f}).with("schema").exits(0)
	for _, command := range []string{"print", "apply", "verify", "diff"} {
		require.Contains(t, r.out, "\n  "+command)
	}
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		require.Contains(t, (&run{f: f}).with("completion", shell).exits(0).out, "idemtx")
	}
	require.Contains(t, (&run{f: f}).with("version").exits(0).out, "idemtx")
	version := decode[struct {
		Version, Revision, Go string
		Modified              bool
	}]((&run{f: f}).with("version", "--json").exits(0))
	require.NotEmpty(t, version.Version)
	require.NotEmpty(t, version.Go)
}

// A key may come from standard input, where no process list shows it.
func TestKeyFromStandardInput(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.stored(key)
	whose := []string{"--database-url", f.url, "lookup", "--tenant", tenant, "--principal", principal}
	for _, in := range []string{key, key + "\n", key + "\r\n", key + "\nmore"} {
		for _, how := range []string{"-", "--key-stdin"} {
			require.Contains(t, (&run{f: f, in: in}).with(append(whose, how)...).exits(0).out, "answered")
		}
	}
	(&run{f: f, in: " " + key}).with(append(whose, "-")...).exits(1)
	f.stored("-key-with-a-dash")
	(&run{f: f}).with(append(whose, "--", "-key-with-a-dash")...).exits(0)
}

// The flags make the scope as scope.New does.
func TestScope(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.exec(`INSERT INTO {table} (scope, key, fingerprint, response, created_at, expires_at)
		SELECT scope, $1, sha256('x'), '{}', now(), now() + interval '1 day'
		FROM unnest(ARRAY['p', E't\x1Ep', E'\x1Ep\x1Em', E't\x1Ep\x1Em\x1En']) AS scope`, key)
	for args, code := range map[string]int{
		"--principal p": 0, "--tenant t --principal p": 0, "--principal p --more m": 0, "--tenant t --principal p --more m --more n": 0,
		"--tenant t --principal p --more n --more m": 1, "--principal t": 1, "--tenant t --principal p --more m,n": 1,
	} {
		f.command(append([]string{"lookup", key}, strings.Split(args, " ")...)...).exits(code)
	}
}

// A store with a KeySecret is asked with it.
func TestKeySecretFile(t *testing.T) {
	t.Parallel()
	secret := strings.Repeat("s", 32)
	f := newFixture(t, withConfig(func(c *idemtx.Config) { c.KeySecret = []byte(secret) }))
	f.stored(key)
	call := f.flyDo(f.store, "key-in-flight")
	folder := t.TempDir()
	file := func(text string) string {
		path := filepath.Join(folder, "secret")
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		return path
	}
	for _, text := range []string{secret, secret + "\n", secret + "\r\n"} {
		f.lookup(key, "--key-secret-file", file(text)).exits(0)
	}
	require.Contains(t, f.lookup("key-in-flight", "--key-secret-file", file(secret)).exits(0).out, "in_flight")
	f.lookup(key, "--key-secret-file", file(secret+"\n\n")).exits(1)
	f.lookup(key).exits(1)
	require.NotContains(t, f.lookup(key, "--key-secret-file", file("short")).exits(2).err, "short\"")
	f.lookup(key, "--key-secret-file", file("")).exits(2)
	f.lookup(key, "--key-secret-file", file("\n")).exits(2)
	require.NoError(t, call.land())
	f.forget(key, "--key-secret-file", file(secret)).exits(0)
}

// The reply is shown to those who ask for it.
func TestShowReply(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.stored(key)
	require.Contains(t, f.lookup(key, "--show-reply").exits(0).out, answer)
	told := decode[status](f.lookup(key, "--show-reply", "--json").exits(0))
	require.Equal(t, answer, told.Reply.Response)
	require.Nil(t, told.Reply.Body)

	body := []byte("HTTP \x1b[31m" + answer)
	_, err := f.store.Put(t.Context(), f.scope, "key-with-body", idemtx.Entry{Fingerprint: idemtx.Fingerprint{1}, Response: []byte(`{"status":201}`), Body: body})
	require.NoError(t, err)
	r := f.lookup("key-with-body", "--show-reply").exits(0)
	require.Contains(t, r.out, answer)
	require.NotContains(t, r.out, "\x1b", "a terminal would obey it")
	require.Equal(t, body, decode[status](f.lookup("key-with-body", "--show-reply", "--json").exits(0)).Reply.Body)

	f.refused("key-refused")
	require.Contains(t, f.lookup("key-refused", "--show-reply").exits(0).out, answer)
	f.age(key, "25 hours")
	require.NotContains(t, f.lookup(key, "--show-reply").exits(0).out, answer, "it is nobody's answer any more")
	f.lookup("key-absent", "--show-reply").exits(1)
}
