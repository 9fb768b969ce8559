package idemhttp

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"

	"github.com/jackc/pgx/v5"

	"github.com/idemtx/idemtx/idemtx"
)

// handler answers a request. An error is a response that cannot be kept.
type handler func(r *http.Request) (Response, error)

// handling is one request in its handler, which may run more than once.
type handling struct {
	protection *Protection
	is         idemtx.Request
	request    *http.Request
	body       []byte
	handle     handler

	last Response // of the last run
}

// forgottenError is a run whose response is sent though nothing of it is kept.
// It is the cause, too, which tells the store a lost connection from a handler
// that gave up.
type forgottenError struct{ cause error }

func (e *forgottenError) Error() string { return "idemtx: the handler's reply undoes its work" }
func (e *forgottenError) Unwrap() error { return e.cause }

func isForgotten(err error) bool {
	var forgotten *forgottenError
	return errors.As(err, &forgotten)
}

// run has the handler work in tx and decides what becomes of it.
func (h *handling) run(ctx context.Context, tx pgx.Tx) (Response, error) {
	seen := new(witness)
	ctx = lend(ctx, h.protection.store, seen.watch(tx), h.is)
	var err error
	h.last, err = h.serve(h.again(ctx))
	decision := h.decide(seen, err)
	switch {
	case decision == Commit && tx.Conn().PgConn().TxStatus() != 'E':
		return h.kept(), nil
	case undone(seen.failure):
		// Whatever was replied was replied to that: it is no one's last word.
		return Response{}, seen.failure
	case err != nil:
		return Response{}, err
	case decision == Commit: // the store finds out what is wrong
		return h.kept(), nil
	case decision == Keep:
		return h.kept(), idemtx.ErrRefused
	}
	return Response{}, &forgottenError{seen.failure}
}

// decide asks the policy. A 5xx that may come from a moment's failure of the
// database is not kept, whatever the policy says: it is no final one.
func (h *handling) decide(seen *witness, err error) Decision {
	if err != nil {
		return Forget
	}
	decision := h.protection.config.Policy.decide(h.last.Status, h.last.Header.Clone())
	if decision == Keep && h.last.Status >= 500 && seen.passing() {
		return Forget
	}
	return decision
}

// kept is the last response without what the configuration leaves out.
func (h *handling) kept() Response {
	kept := h.last
	// In this order: what Connection names is not stored, though Connection is not allowed.
	kept.Header = h.protection.config.storable(storable(kept.Header))
	return kept
}

// serve has the handler answer r.
func (h *handling) serve(r *http.Request) (Response, error) {
	defer func() {
		// net/http removes the files of the request it has made, not of copies.
		if r.MultipartForm != nil && h.request.MultipartForm == nil {
			_ = r.MultipartForm.RemoveAll()
		}
	}()
	response, err := h.handle(r)
	if err != nil {
		return Response{}, err
	}
	return h.protection.complete(response, r.Method)
}

// again is the request as if it had just come. A run that changes its headers or
// reads its body leaves the next one's alone.
func (h *handling) again(ctx context.Context) *http.Request {
	r := h.request.Clone(ctx)
	r.Body = reader(h.body)
	r.ContentLength, r.TransferEncoding = int64(len(h.body)), nil
	return r
}

func reader(body []byte) io.ReadCloser {
	if len(body) == 0 {
		return http.NoBody
	}
	return io.NopCloser(bytes.NewReader(body))
}
