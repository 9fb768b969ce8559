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
	header http.Header // its own: what a failed run has set must not be sent
	reply  reply
}

var _ http.ResponseWriter = (*recorder)(nil)

func (rec *recorder) Header() http.Header { return rec.header }

// WriteHeader takes the headers as they are now. Later changes are not sent.
func (rec *recorder) WriteHeader(status int) {
	switch {
	case rec.reply.status != 0:
		return
	case status < 100 || status > 999:
		panic(fmt.Sprintf("idemhttp: invalid WriteHeader code %d", status))
	case status < 200 && status != http.StatusSwitchingProtocols:
		return // informational: the reply is still to come
	}
	rec.reply.status = status
	rec.reply.header = sendable(rec.header)
}

func (rec *recorder) Write(p []byte) (int, error) {
	rec.WriteHeader(http.StatusOK)
	if len(p) == 0 {
		return 0, nil
	}
	if !hasBody(rec.reply.status) {
		return 0, http.ErrBodyNotAllowed
	}
	rec.reply.body = append(rec.reply.body, p...)
	return len(p), nil
}

// finish returns the reply of a handler that has returned.
func (rec *recorder) finish() reply {
	rec.WriteHeader(http.StatusOK)
	rec.reply.sniff()
	return rec.reply
}

// sniff sets the Content-Type that net/http would: now, so that a replay has the
// same whichever release sends it.
func (r *reply) sniff() {
	_, typed := r.header["Content-Type"]
	if typed || len(r.body) == 0 || r.header.Get("Content-Encoding") != "" {
		return
	}
	r.header.Set("Content-Type", http.DetectContentType(r.body))
}

// hasBody tells whether a reply of that status may have one, by RFC 9110.
func hasBody(status int) bool {
	return status >= 200 && status != http.StatusNoContent && status != http.StatusNotModified
}
