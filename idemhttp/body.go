package idemhttp

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"net/url"
	"unicode/utf8"
)

var errBodyTaken = errors.New("idemtx: the request's body was read before the middleware, which cannot compare it then")

// readBody reads the whole body.
func readBody(r *http.Request, limit int64) ([]byte, error) {
	if r.ContentLength > limit {
		return nil, bodyTooLarge // unread, so that a client that waits for 100 Continue keeps it
	}
	if r.Body == nil { // net/http serves none, tests do
		return nil, nil
	}
	body, err := io.ReadAll(http.MaxBytesReader(nil, r.Body, limit))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return nil, bodyTooLarge
	case err != nil:
		return nil, bodyIncomplete
	case len(body) == 0 && (r.ContentLength > 0 || len(r.PostForm) > 0 || r.MultipartForm != nil):
		// Requests that differ would look the same, and get each other's replies.
		return nil, errBodyTaken
	}
	return body, nil
}

// longest is how many bytes an operation may have; see [idemtx.FingerprintOf].
const longest = 1024

// operation names what r asks for, in the client's words: behind
// [http.StripPrefix] two resources have one r.URL.
//
// What the body is is a part, as the same bytes mean one thing as a form and
// another as text. The query is hashed, because tracers are told the operation
// and clients put anything into a query. No two requests have the same name:
// spaces stand only between its parts.
func operation(r *http.Request, c content) string {
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
	name += " " + c.media
	if c.coding != "" {
		name += " " + c.coding
	}
	if len(name) > longest || !utf8.ValidString(name) {
		return r.Method + " " + hashed(name)
	}
	return name
}

func hashed(s string) string {
	sum := sha256.Sum256([]byte(s))
	return "sha256:" + hex.EncodeToString(sum[:])
}
