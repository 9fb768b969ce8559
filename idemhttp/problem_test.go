package idemhttp

import (
	"go/doc/comment"
	"go/parser"
	"go/token"
	"net/http"
	"net/http/httptest"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemtx"
)

var problems = []*Problem{
	keyMissing, keyInvalid, bodyIncomplete, bodyInvalid, unauthenticated,
	inFlight, expired, bodyTooLarge, mismatch, internal, unavailable,
}

func TestAProblemAsItIsSent(t *testing.T) {
	t.Parallel()
	w := httptest.NewRecorder()
	refuse(Config{ProblemBase: "https://api.example.com/problems/"},
		&idemtx.InFlightError{RetryAfter: 1200 * time.Millisecond}).Send(w)
	body := `{"type":"https://api.example.com/problems/in_flight",` +
		`"title":"The request is in flight","status":409,` +
		`"detail":"A request with this Idempotency-Key has not ended. Retry later with the same key."}`
	require.Equal(t, http.StatusConflict, w.Code)
	require.Equal(t, body, w.Body.String())
	require.Equal(t, http.Header{
		"Content-Type":   {"application/problem+json"},
		"Content-Length": {strconv.Itoa(len(body))},
		"Retry-After":    {"2"},
	}, w.Header())
}

// refuse is what a protection with that configuration answers to err.
func refuse(c Config, err error) Response {
	p := &Protection{config: c.withDefaults()}
	return p.Refuse(httptest.NewRequest(http.MethodPost, "/", http.NoBody), idemtx.Request{}, err)
}

func TestRetryAfterIsInWholeSecondsAndNotTooEarly(t *testing.T) {
	t.Parallel()
	for wait, want := range map[time.Duration]string{
		time.Nanosecond:        "1",
		time.Second:            "1",
		time.Second + 1:        "2",
		29*time.Second + 1:     "30",
		time.Hour:              "3600",
		900 * time.Millisecond: "1",
	} {
		require.Equal(t, want, seconds(wait), wait)
	}
}

// TestTheDefaultTypesLinkToTheDocumentation: each name is a heading of the
// package's documentation, where pkg.go.dev puts an anchor, and its text begins
// with the status.
func TestTheDefaultTypesLinkToTheDocumentation(t *testing.T) {
	t.Parallel()
	file, err := parser.ParseFile(token.NewFileSet(), "doc.go", nil, parser.ParseComments)
	require.NoError(t, err)
	blocks := new(comment.Parser).Parse(file.Doc.Text()).Content
	documented := make(map[string]string)
	for i, block := range blocks {
		heading, ok := block.(*comment.Heading)
		if !ok {
			continue
		}
		text := blocks[i+1].(*comment.Paragraph).Text[0].(comment.Plain)
		if text[0] == '4' || text[0] == '5' {
			documented["#"+heading.DefaultID()] = string(text[:3])
		}
	}
	base := Config{}.withDefaults().ProblemBase
	const page = "https://pkg.go.dev/github.com/idemtx/idemtx/idemhttp"
	sent := make(map[string]string)
	for _, p := range problems {
		require.Regexp(t, "^"+page+"#hdr-[a-z_]+$", base+p.Name)
		sent[(base + p.Name)[len(page):]] = http.StatusText(p.Status)
	}
	for id, status := range documented {
		require.Contains(t, sent, id)
		require.Equal(t, http.StatusText(atoi(t, status)), sent[id], id)
	}
	require.Len(t, documented, len(problems))
}
