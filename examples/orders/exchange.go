package main

import (
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
)

// problem is an error that the client is told, by RFC 9457.
type problem struct {
	Status int    `json:"status"`
	Title  string `json:"title"`
	Detail string `json:"detail"`
}

func (p *problem) Error() string { return p.Detail }

var (
	errUnauthenticated = &problem{http.StatusUnauthorized, "Who is it?", "Send an Authorization header with a Bearer token."}
	errInternal        = &problem{http.StatusInternalServerError, "Internal error", "Nothing was done. Send it again."}
)

func badRequest(detail string) *problem {
	return &problem{http.StatusBadRequest, "Bad request", detail}
}

// readOrder returns a valid order or a problem.
func readOrder(w http.ResponseWriter, r *http.Request) (order, error) {
	var o order
	body := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody))
	body.DisallowUnknownFields()
	if err := body.Decode(&o); err != nil {
		return o, badRequest("The body must be a JSON object of customer, sku and quantity.")
	}
	if _, err := body.Token(); !errors.Is(err, io.EOF) {
		return o, badRequest("There is more in the body than one JSON object.")
	}
	return o, o.validate()
}

// fail answers err. What is not a problem is nobody's business but the log's, and
// a client that has gone is nobody's.
func fail(w http.ResponseWriter, r *http.Request, err error) {
	p := errInternal
	if !errors.As(err, &p) && r.Context().Err() == nil {
		slog.LogAttrs(r.Context(), slog.LevelError, "orders: a request failed",
			slog.String("method", r.Method), slog.String("error", err.Error()))
	}
	w.Header().Set("Content-Type", "application/problem+json")
	write(w, p.Status, p)
}

func send(w http.ResponseWriter, status int, value any) {
	w.Header().Set("Content-Type", "application/json")
	write(w, status, value)
}

func write(w http.ResponseWriter, status int, value any) {
	body, _ := json.Marshal(value) // every value here encodes
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n')) // a client that is gone asks again
}
