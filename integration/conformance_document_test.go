package integration

import (
	"bufio"
	"fmt"
	"go/doc/comment"
	"go/parser"
	"go/token"
	"io"
	"net"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemhttp"
	"github.com/idemtx/idemtx/idemtx"
	"github.com/idemtx/idemtx/scope"
)

// published is idemhttp's documentation: the text below each heading, by the
// anchor that a page of it has.
func published(t *testing.T) map[string]string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "../idemhttp/doc.go", nil, parser.ParseComments)
	require.NoError(t, err)
	sections, anchor := map[string]string{}, ""
	for _, block := range new(comment.Parser).Parse(file.Doc.Text()).Content {
		if heading, ok := block.(*comment.Heading); ok {
			anchor = heading.DefaultID()
			continue
		}
		text := new(comment.Printer).Text(&comment.Doc{Content: []comment.Block{block}})
		sections[anchor] += strings.Join(strings.Fields(string(text)), " ") + "\n"
	}
	return sections
}

func specificationIsPublished(t *testing.T) {
	f := newFixture(t)
	s := f.host(idemhttp.Middleware(f.store, idemhttp.Config{Scope: customer})(http.NotFoundHandler()))
	require.Contains(t, s.send(s.keyed()).body, `"type":"https://pkg.go.dev/github.com/idemtx/idemtx/idemhttp#hdr-key_missing"`)

	sections := published(t)
	for name, p := range problems {
		p.provoke(t).requireProblem(t, p.status, name)
		require.NotEmpty(t, sections["hdr-"+name], name)
	}
	names := regexp.MustCompile(`^hdr-[a-z_]+$`)
	for anchor := range sections {
		if names.MatchString(anchor) {
			require.Contains(t, problems, strings.TrimPrefix(anchor, "hdr-"), "a problem that nobody has seen")
		}
	}
}

func specificationTellsExpiry(t *testing.T) {
	var all string
	for _, text := range published(t) {
		all += text
	}
	require.Contains(t, all, "Idempotency-Expires")
	require.Contains(t, all, "24 hours")

	s := served(t, idemhttp.Config{})
	told, err := http.ParseTime(s.send(s.keyed("a")).header.Get("Idempotency-Expires"))
	require.NoError(t, err)
	require.Equal(t, 24*time.Hour, s.store.Config().TTL)
	require.True(t, ask[bool](t, "SELECT $1 BETWEEN clock_timestamp() + interval '23 hours' AND clock_timestamp() + interval '24 hours'", told))
}

func otherErrorsAreDocumented(t *testing.T) {
	sections := published(t)
	for name, p := range problems {
		require.True(t, strings.HasPrefix(sections["hdr-"+name], fmt.Sprint(p.status, ". ")), name)
		got := p.provoke(t)
		require.Equal(t, p.status, got.status)
		wait := p.status == http.StatusConflict || p.status == http.StatusServiceUnavailable
		require.Equal(t, wait, got.header.Get("Retry-After") != "", name)
	}
}

// problems are those that the documentation names, each with an exchange that
// ends in it.
var problems = map[string]struct {
	status  int
	provoke func(t *testing.T) heard
}{
	"key_missing": {http.StatusBadRequest, func(t *testing.T) heard {
		s := served(t, idemhttp.Config{})
		return s.send(s.keyed())
	}},
	"key_invalid": {http.StatusBadRequest, func(t *testing.T) heard {
		s := served(t, idemhttp.Config{})
		return s.send(s.keyed("a", "b"))
	}},
	"body_incomplete": {http.StatusBadRequest, func(t *testing.T) heard {
		s := served(t, idemhttp.Config{})
		return s.half(s.post("a", `{"sku": "lamp"}`))
	}},
	"body_invalid": {http.StatusBadRequest, func(t *testing.T) heard {
		s := served(t, idemhttp.Config{})
		return s.send(s.post("a", "{"))
	}},
	"unauthenticated": {http.StatusUnauthorized, func(t *testing.T) heard {
		s := served(t, idemhttp.Config{Scope: func(*http.Request) (scope.Scope, error) { return scope.New("", "") }})
		return s.send(s.keyed("a"))
	}},
	"in_flight": {http.StatusConflict, func(t *testing.T) heard {
		s, _ := occupied(t, idemhttp.Config{}, "a", withConfig(refusing))
		return s.send(s.post("a", "{}"))
	}},
	"expired": {http.StatusGone, func(t *testing.T) heard {
		s := served(t, idemhttp.Config{}, withConfig(func(c *idemtx.Config) { c.OnExpired = idemtx.RefuseExpired }))
		s.send(s.post("a", "{}")).requireCreated(t)
		s.expire("a")
		return s.send(s.post("a", "{}"))
	}},
	"body_too_large": {http.StatusRequestEntityTooLarge, func(t *testing.T) heard {
		s := served(t, idemhttp.Config{MaxBodyBytes: 1})
		return s.send(s.post("a", "{}"))
	}},
	"mismatch": {http.StatusUnprocessableEntity, func(t *testing.T) heard {
		s := served(t, idemhttp.Config{})
		s.send(s.post("a", "1")).requireCreated(t)
		return s.send(s.post("a", "2"))
	}},
	"internal": {http.StatusInternalServerError, func(t *testing.T) heard {
		s := served(t, idemhttp.Config{}, withConfig(func(c *idemtx.Config) { c.MaxReplyBytes = 1 }))
		return s.send(s.post("a", "{}"))
	}},
	"unavailable": {http.StatusServiceUnavailable, func(t *testing.T) heard {
		f := newFixture(t)
		f.failing(1000, "40001", false)
		s := f.serve(idemhttp.Config{}, f.works)
		return s.send(s.post("a", "{}"))
	}},
}

// half sends r but for the last byte of its body.
func (s *service) half(r *http.Request) heard {
	s.t.Helper()
	conn, err := new(net.Dialer).DialContext(s.t.Context(), "tcp", r.URL.Host)
	require.NoError(s.t, err)
	defer conn.Close()
	var wire strings.Builder
	require.NoError(s.t, r.Write(&wire))
	_, err = io.WriteString(conn, wire.String()[:wire.Len()-1])
	require.NoError(s.t, err)
	require.NoError(s.t, conn.(*net.TCPConn).CloseWrite())
	response, err := http.ReadResponse(bufio.NewReader(conn), r)
	require.NoError(s.t, err)
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	require.NoError(s.t, err)
	return heard{response.StatusCode, response.Header, string(body)}
}
