package idemhttp

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"

	"github.com/idemtx/idemtx/idemtx"
)

var errBodyTaken = errors.New("idemtx: the request's body was read before the middleware, which cannot compare it then")

// readBody reads the whole body. Like [http.MaxBytesReader], it has the
// connection closed when that is too long.
func readBody(w http.ResponseWriter, r *http.Request, limit int64) ([]byte, error) {
	if r.Body == nil { // net/http serves none, tests do
		return nil, nil
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return nil, bodyTooLarge
	case err != nil:
		return nil, bodyIncomplete
	case len(body) == 0 && r.ContentLength > 0:
		// All requests would look the same, and get each other's replies.
		return nil, errBodyTaken
	}
	return body, nil
}

// longest is how many bytes an operation may have; see [idemtx.FingerprintOf].
const longest = 1024

// operation names what r asks for, in the client's words: behind
// [http.StripPrefix] two resources have one r.URL.
//
// The media type is a part, as the same bytes mean one thing as a form and
// another as text. The query is hashed, because tracers are told the operation
// and clients put anything into a query. No two requests have the same name:
// spaces stand only between its parts.
func operation(r *http.Request, media string) string {
	target := *r.URL
	if sent, err := url.ParseRequestURI(r.RequestURI); err == nil {
		target = *sent
	}
	query := target.RawQuery
	target.RawQuery, target.ForceQuery = "", false
	name := r.Method + " " + target.RequestURI()
	if query != "" {
		name += "?" + hashed(query)
	}
	name += " " + media
	if len(name) > longest || !utf8.ValidString(name) {
		return r.Method + " " + hashed(name)
	}
	return name
}

func hashed(s string) string {
	sum := sha256.Sum256([]byte(s))
	return "sha256:" + hex.EncodeToString(sum[:])
}

// mediaType is the Content-Type without parameters, or nothing when it has none
// that makes sense.
func mediaType(r *http.Request) string {
	media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil && !errors.Is(err, mime.ErrInvalidMediaParameter) {
		return ""
	}
	return media
}

// payload is what of the body is compared. No body at all is not JSON, whatever
// its type.
func payload(r *http.Request, media string, body []byte) any {
	plain := r.Header.Get("Content-Encoding")
	isJSON := media == "application/json" || strings.HasSuffix(media, "+json")
	if isJSON && len(body) > 0 && (plain == "" || plain == "identity") {
		return json.RawMessage(body)
	}
	return idemtx.Raw(body)
}
