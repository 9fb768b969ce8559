package integration

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	osexec "os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemhttp"
)

const (
	lampOrder = `{"customer":"ada","sku":"lamp","quantity":1}`
	asDemo    = "Authorization: Bearer demo"
)

// curl is the program.
type curl struct {
	*testing.T
	path string
}

func newCurl(t *testing.T) curl {
	t.Helper()
	return curl{t, tool(t, "curl", "curl")}
}

// run returns the last answer that curl has heard, and how much of a body it has
// sent with that request.
func (c curl) run(args ...string) (answer ordersAnswer, uploaded int) {
	c.Helper()
	body := filepath.Join(c.TempDir(), "body")
	args = append([]string{
		"--disable", "--noproxy", "*", "--silent", "--show-error", "--max-time", "60", "--output", body,
		"--write-out", `%{response_code} %{size_upload} replayed=%header{idempotency-replayed} type=%{content_type}`,
	}, args...)
	cmd := osexec.Command(c.path, args...)
	stderr := new(bytes.Buffer)
	cmd.Stderr = stderr
	out, err := cmd.Output()
	require.NoError(c, err, "%s%s", out, stderr)
	var replayed string
	_, err = fmt.Sscan(string(out), &answer.status, &uploaded, &replayed, &answer.contentType)
	require.NoError(c, err, "%s", out)
	answer.replayed = replayed == "replayed=true"
	answer.contentType = strings.TrimPrefix(answer.contentType, "type=")
	text, err := os.ReadFile(body)
	require.NoError(c, err)
	answer.body = string(text)
	return answer, uploaded
}

// order orders a lamp.
func (c curl) order(s *ordersService, key string, args ...string) ordersAnswer {
	c.Helper()
	answer, _ := c.run(append([]string{
		"--header", asDemo, "--header", "Idempotency-Key: " + key, "--header", "Content-Type: application/json",
		"--data", lampOrder, s.url + "/orders",
	}, args...)...)
	return answer
}

func (t ordersTest) curlSpellings() {
	c, s := newCurl(t.T), t.serve()
	first := c.order(s, `"8e03978e-40d5"`)
	require.Equal(t, http.StatusCreated, first.status, first.body)
	require.False(t, first.replayed)
	for _, again := range []ordersAnswer{
		c.order(s, `8e03978e-40d5`),
		c.order(s, `"8e03978e-40d5"`, "--http1.0"),
		c.order(s, `  8e03978e-40d5  `, "--compressed"),
	} {
		require.True(t, again.replayed, again.body)
		require.Equal(t, first, again.first())
	}
	require.Equal(t, 1, s.placed())
}

func (t ordersTest) curlTriesAgain() {
	c, s := newCurl(t.T), t.serve()
	cut := newCutter(t.T, s.url, 1)
	got := c.order(s.at(cut.url), "key", "--retry", "1", "--retry-all-errors", "--retry-delay", "1")
	require.Equal(t, http.StatusCreated, got.status, got.body)
	require.True(t, got.replayed)
	require.EqualValues(t, 2, cut.answers.Load())
	require.Equal(t, 1, s.placed())
}

// curlReusesAConnection: on a connection that has worked before, curl sends a
// request again without being told to.
func (t ordersTest) curlReusesAConnection() {
	c, s := newCurl(t.T), t.serve()
	cut := newCutter(t.T, s.url, 2)
	out, err := osexec.Command(c.path, "--disable", "--noproxy", "*", "--silent", "--show-error",
		cut.url+"/stock/lamp", "--next", "--silent", "--show-error", "--include",
		"--header", asDemo, "--header", "Idempotency-Key: key", "--data", lampOrder,
		cut.url+"/orders").CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.Contains(t, string(out), `{"available":10,"sku":"lamp"}`+"\nHTTP/1.1 201 Created\r\n")
	require.Contains(t, string(out), "\r\nIdempotency-Replayed: true\r\n")
	require.EqualValues(t, 3, cut.answers.Load())
	require.Equal(t, 1, s.placed())
}

// curlChunks: how long a body is does not matter, nor whether that is said at
// the beginning.
func (t ordersTest) curlChunks() {
	c, s := newCurl(t.T), t.serve()
	first := c.order(s, "key", "--header", "Transfer-Encoding: chunked")
	require.Equal(t, http.StatusCreated, first.status, first.body)
	require.False(t, first.replayed)
	again := c.order(s, "key")
	require.True(t, again.replayed)
	require.Equal(t, first, again.first())
	require.Equal(t, 1, s.placed())
}

// curlForm: the service takes no forms, and what it does not take uses no key up.
func (t ordersTest) curlForm() {
	c, s := newCurl(t.T), t.serve()
	bad, _ := c.run("--header", asDemo, "--header", "Idempotency-Key: key", "--form", "sku=lamp", "--form", "quantity=1", s.url+"/orders")
	require.Equal(t, http.StatusBadRequest, bad.status, bad.body)
	good := c.order(s, "key")
	require.Equal(t, http.StatusCreated, good.status, good.body)
	require.False(t, good.replayed)
	require.Equal(t, 1, s.placed())
}

// TestCurlFormIsOneRequest: curl makes a boundary up for each form, and keeps it
// when it tries again by itself. A curl that is started again sends other bytes,
// which are another request.
func TestCurlFormIsOneRequest(t *testing.T) {
	t.Parallel()
	c, f := newCurl(t), newFixture(t)
	s := f.serve(idemhttp.Config{}, func(w http.ResponseWriter, r *http.Request) {
		if err := f.insert(r, r.FormValue("sku")); err != nil {
			panic(err)
		}
		w.WriteHeader(http.StatusCreated)
	})
	cut := newCutter(t, s.url, 1)
	form := []string{
		"--header", "Idempotency-Key: key", "--header", "X-User: ann", "--form", "sku=lamp",
		"--retry", "1", "--retry-all-errors", "--retry-delay", "1", cut.url,
	}
	got, _ := c.run(form...)
	require.Equal(t, http.StatusCreated, got.status, got.body)
	require.True(t, got.replayed)
	got, _ = c.run(form...)
	require.Equal(t, http.StatusUnprocessableEntity, got.status, got.body)
	require.Equal(t, 1, f.effects("lamp"))
}

// curlExpects: a request that is refused for its headers is refused before its
// body is sent, which curl asks for when that is long.
func (t ordersTest) curlExpects() {
	c, s := newCurl(t.T), t.serve()
	long := filepath.Join(t.TempDir(), "long")
	require.NoError(t, os.WriteFile(long, bytes.Repeat([]byte(" "), 2<<20), 0o600))
	for name, refused := range map[string]struct {
		status int
		header []string
	}{
		"it is too long": {http.StatusRequestEntityTooLarge, []string{asDemo, "Idempotency-Key: key"}},
		"without a key":  {http.StatusBadRequest, []string{asDemo}},
		"an empty key":   {http.StatusBadRequest, []string{asDemo, "Idempotency-Key;"}},
		"a list of keys": {http.StatusBadRequest, []string{asDemo, "Idempotency-Key: a, b"}},
		"two keys":       {http.StatusBadRequest, []string{asDemo, "Idempotency-Key: a", "Idempotency-Key: b"}},
		"nobody's":       {http.StatusUnauthorized, []string{"Idempotency-Key: key"}},
	} {
		args := []string{"--expect100-timeout", "60", "--data-binary", "@" + long, s.url + "/orders"}
		for _, header := range refused.header {
			args = append(args, "--header", header)
		}
		got, uploaded := c.run(args...)
		require.Equal(t, refused.status, got.status, name)
		require.Equal(t, "application/problem+json", got.contentType, name)
		require.Zero(t, uploaded, name)
	}

	got, uploaded := c.run("--header", asDemo, "--header", "Idempotency-Key: key", "--header", "Expect: 100-continue",
		"--data", lampOrder, s.url+"/orders")
	require.Equal(t, http.StatusCreated, got.status, got.body)
	require.False(t, got.replayed)
	require.Equal(t, len(lampOrder), uploaded)
	require.Equal(t, 1, s.placed())
}
