package idemhttp

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"slices"

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

// errForgotten is the end of a run whose response is sent though nothing of it is
// kept.
var errForgotten = errors.New("idemtx: the handler's reply undoes its work")

// run has the handler work in tx and decides what becomes of it.
func (h *handling) run(ctx context.Context, tx pgx.Tx) (Response, error) {
	ctx = lend(ctx, h.protection.store, tx, h.is)
	var err error
	if h.last, err = h.serve(h.again(ctx)); err != nil {
		return Response{}, err
	}
	failures := failuresOf(tx)
	switch h.decide(failures) {
	case Commit:
		return h.kept(), nil
	case Keep:
		return h.kept(), idemtx.ErrRefused
	}
	if undoing := undoing(failures); undoing != nil && h.last.Status >= 500 {
		return Response{}, undoing // what was replied to that is no one's last word
	}
	return Response{}, errForgotten
}

// decide asks the policy. Where a statement has failed for a reason that passes,
// the reply may come of that, and is not kept whatever the policy says.
func (h *handling) decide(failures []error) Decision {
	decision := h.protection.config.Policy.decide(h.last.Status, h.last.Header.Clone())
	if decision == Keep && slices.ContainsFunc(failures, ofTheMoment) {
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
