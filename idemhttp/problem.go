package idemhttp

import (
	"encoding/json"
	"net/http"
	"strconv"
	"time"
)

// problem is an answer of the middleware's own, by RFC 9457. All of its text is
// fixed: what went wrong inside is nobody's business outside.
type problem struct {
	name   string // as in the package documentation
	status int
	title  string
	detail string
}

// Error makes a problem the error of what it answers.
func (p *problem) Error() string { return "idemtx: " + p.name }

var (
	keyMissing = &problem{
		"key_missing", http.StatusBadRequest, "Idempotency-Key is missing",
		"This operation requires an Idempotency-Key header: a random key, the same for every retry.",
	}
	keyInvalid = &problem{
		"key_invalid", http.StatusBadRequest, "Idempotency-Key is not valid",
		"Idempotency-Key must be sent once and hold one key, quoted or not: 1 to 255 printable ASCII characters, " +
			"without parameters.",
	}
	bodyIncomplete = &problem{
		"body_incomplete", http.StatusBadRequest, "The body is incomplete",
		"The request's body ended before its end. Nothing was done.",
	}
	bodyInvalid = &problem{
		"body_invalid", http.StatusBadRequest, "The body is not valid JSON",
		"The request's body must be JSON in UTF-8, without a repeated member name, a number out of range, " +
			"or very deep nesting.",
	}
	unauthenticated = &problem{
		"unauthenticated", http.StatusUnauthorized, "Authentication is required",
		"It is not known on whose behalf the request is made. Nothing was done.",
	}
	inFlight = &problem{
		"in_flight", http.StatusConflict, "The request is in flight",
		"A request with this Idempotency-Key has not ended. Retry later with the same key.",
	}
	expired = &problem{
		"expired", http.StatusGone, "The reply has expired",
		"A request with this Idempotency-Key was answered before, and its reply is no longer kept.",
	}
	bodyTooLarge = &problem{
		"body_too_large", http.StatusRequestEntityTooLarge, "The body is too large",
		"The request's body is longer than this operation accepts.",
	}
	mismatch = &problem{
		"mismatch", http.StatusUnprocessableEntity, "Idempotency-Key was used for another request",
		"This Idempotency-Key was first used for a different request. Use a new key.",
	}
	internal = &problem{
		"internal", http.StatusInternalServerError, "Internal error",
		"The request could not be completed. It may be retried with the same key.",
	}
	unavailable = &problem{
		"unavailable", http.StatusServiceUnavailable, "Temporarily unavailable",
		"The request was not served, or it is not known whether it was. Retry later with the same key: " +
			"it is not done twice.",
	}
)

// send writes the problem. A positive retryAfter is sent in whole seconds, none
// too early.
func (p *problem) send(w http.ResponseWriter, base string, retryAfter time.Duration) {
	body, _ := json.Marshal(struct { // strings and an int always encode
		Type   string `json:"type"`
		Title  string `json:"title"`
		Status int    `json:"status"`
		Detail string `json:"detail"`
	}{base + p.name, p.title, p.status, p.detail})
	header := w.Header()
	header.Set("Content-Type", "application/problem+json")
	header.Set("Content-Length", strconv.Itoa(len(body)))
	if retryAfter > 0 {
		seconds := (retryAfter + time.Second - 1) / time.Second
		header.Set("Retry-After", strconv.FormatInt(int64(seconds), 10))
	}
	w.WriteHeader(p.status)
	_, _ = w.Write(body)
}
