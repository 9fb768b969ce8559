package idemhttp

import (
	"encoding/json"
	"net/http"
	"strconv"
	"time"
)

// Problem is an answer of the middleware's own. All of its text is fixed: what
// went wrong inside is nobody's business outside.
type Problem struct {
	Name       string // a heading of the package documentation, such as "mismatch"
	Type       string // [Config.ProblemBase] and the name
	Status     int
	Title      string
	Detail     string
	RetryAfter time.Duration // 0: a retry does not help, or need not wait
}

// Error makes a problem the error of what it answers.
func (p *Problem) Error() string { return "idemtx: " + p.Name }

func newProblem(name string, status int, title, detail string) *Problem {
	return &Problem{Name: name, Status: status, Title: title, Detail: detail}
}

var (
	keyMissing = newProblem(
		"key_missing", http.StatusBadRequest, "Idempotency-Key is missing",
		"This operation requires an Idempotency-Key header: a random key, the same for every retry.",
	)
	keyInvalid = newProblem(
		"key_invalid", http.StatusBadRequest, "Idempotency-Key is not valid",
		"Idempotency-Key must be sent once and hold one key, quoted or not: 1 to 255 printable ASCII characters, "+
			"without parameters, in the form that this service asks for.",
	)
	bodyIncomplete = newProblem(
		"body_incomplete", http.StatusBadRequest, "The body is incomplete",
		"The request's body ended before its end. Nothing was done.",
	)
	bodyInvalid = newProblem(
		"body_invalid", http.StatusBadRequest, "The body is not valid JSON",
		"The request's body must be JSON in UTF-8, without a repeated member name, a number out of range, "+
			"or very deep nesting.",
	)
	unauthenticated = newProblem(
		"unauthenticated", http.StatusUnauthorized, "Authentication is required",
		"It is not known on whose behalf the request is made. Nothing was done.",
	)
	inFlight = newProblem(
		"in_flight", http.StatusConflict, "The request is in flight",
		"A request with this Idempotency-Key has not ended. Retry later with the same key.",
	)
	expired = newProblem(
		"expired", http.StatusGone, "The reply has expired",
		"A request with this Idempotency-Key was answered before, and its reply is no longer kept.",
	)
	bodyTooLarge = newProblem(
		"body_too_large", http.StatusRequestEntityTooLarge, "The body is too large",
		"The request's body is longer than this operation accepts.",
	)
	mismatch = newProblem(
		"mismatch", http.StatusUnprocessableEntity, "Idempotency-Key was used for another request",
		"This Idempotency-Key was first used for a different request. Use a new key.",
	)
	internal = newProblem(
		"internal", http.StatusInternalServerError, "Internal error",
		"The request could not be completed. It may be retried with the same key.",
	)
	unavailable = newProblem(
		"unavailable", http.StatusServiceUnavailable, "Temporarily unavailable",
		"The request was not served, or it is not known whether it was. Retry later with the same key: "+
			"it is not done twice.",
	)
)

// problemJSON is a problem by RFC 9457.
func problemJSON(p Problem) Response {
	body, _ := json.Marshal(struct { // strings and an int always encode
		Type   string `json:"type"`
		Title  string `json:"title"`
		Status int    `json:"status"`
		Detail string `json:"detail"`
	}{p.Type, p.Title, p.Status, p.Detail})
	return Response{
		Status: p.Status,
		Header: http.Header{"Content-Type": {"application/problem+json"}},
		Body:   body,
	}
}

// seconds is d in whole seconds, none too early.
func seconds(d time.Duration) string {
	return strconv.FormatInt(int64((d+time.Second-1)/time.Second), 10)
}
