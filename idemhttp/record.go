package idemhttp

import (
	"fmt"
	"net/http"
)

// recorder is the http.ResponseWriter of a handler: it does what that of
// net/http does, but holds everything back.
//
// It has no Unwrap on purpose, and no Flush or Hijack: through them a handler
// would send what a rollback can still undo.
type recorder struct {
	header   http.Header // its own: what a failed run has set must not be sent
	room     int         // for the body, in bytes
	response Response
	err      error // the response cannot be kept
}

var _ http.ResponseWriter = (*recorder)(nil)

func (rec *recorder) Header() http.Header { return rec.header }

// WriteHeader takes the headers as they are now. Later changes are not sent.
func (rec *recorder) WriteHeader(status int) {
	switch {
	case rec.response.Status != 0:
		return
	case status < 100 || status > 999:
		panic(fmt.Sprintf("idemhttp: invalid WriteHeader code %d", status))
	case status < 200 && status != http.StatusSwitchingProtocols:
		return // informational: the reply is still to come
	}
	rec.response.Status = status
	rec.response.Header = rec.header.Clone()
}

// Write fails as soon as the body is longer than the store takes, so that
// nobody's memory is filled with what is thrown away.
func (rec *recorder) Write(p []byte) (int, error) {
	rec.WriteHeader(http.StatusOK)
	switch {
	case rec.err != nil:
		return 0, rec.err
	case len(p) == 0:
		return 0, nil
	case !hasBody(rec.response.Status):
		return 0, http.ErrBodyNotAllowed
	case len(p) > rec.room:
		rec.err, rec.response.Body = errTooLong, nil
		return 0, rec.err
	}
	rec.room -= len(p)
	rec.response.Body = append(rec.response.Body, p...)
	return len(p), nil
}

// finish returns the response of a handler that has returned.
func (rec *recorder) finish() (Response, error) {
	rec.WriteHeader(http.StatusOK)
	if rec.err == nil && hasTrailers(rec.header) {
		rec.err = errTrailers
	}
	rec.response.sniff()
	return rec.response, rec.err
}

// sniff sets the Content-Type that net/http would: now, so that a replay has the
// same whichever release sends it.
func (r *Response) sniff() {
	_, typed := r.Header["Content-Type"]
	if typed || len(r.Body) == 0 || r.Header.Get("Content-Encoding") != "" {
		return
	}
	r.Header.Set("Content-Type", http.DetectContentType(r.Body))
}

// hasBody tells whether a reply of that status may have one, by RFC 9110.
func hasBody(status int) bool {
	return status >= 200 && status != http.StatusNoContent && status != http.StatusNotModified
}
