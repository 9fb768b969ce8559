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

// handling is one request in its handler, which may run more than once.
type handling struct {
	next    http.Handler
	request *http.Request
	body    []byte
	policy  Policy
	store   *idemtx.Store

	last reply // of the last run
}

// forgottenError is a run whose reply is sent though nothing of it is kept. It
// is the cause, too, which tells the store a lost connection from a handler that
// gave up.
type forgottenError struct{ cause error }

func (e *forgottenError) Error() string { return "idemtx: the handler's reply undoes its work" }
func (e *forgottenError) Unwrap() error { return e.cause }

func isForgotten(err error) bool {
	var forgotten *forgottenError
	return errors.As(err, &forgotten)
}

// run has the handler work in tx and decides what becomes of it.
func (h *handling) run(ctx context.Context, tx pgx.Tx) (reply, error) {
	seen := new(witness)
	ctx = lend(ctx, h.store, seen.watch(tx))
	h.last = h.serve(h.again(ctx))
	decision := h.policy.decide(h.last.status, h.last.header.Clone())
	switch {
	case decision == Commit && tx.Conn().PgConn().TxStatus() != 'E':
		return h.last, nil
	case undone(seen.failure):
		// Whatever was replied was replied to that: it is no one's last word.
		return reply{}, seen.failure
	case decision == Commit: // the store finds out what is wrong
		return h.last, nil
	case decision == Keep:
		return h.last, idemtx.ErrRefused
	}
	return reply{}, &forgottenError{seen.failure}
}

// serve has the handler answer r.
func (h *handling) serve(r *http.Request) reply {
	defer func() {
		// net/http removes the files of the request it has made, not of copies.
		if r.MultipartForm != nil && h.request.MultipartForm == nil {
			_ = r.MultipartForm.RemoveAll()
		}
	}()
	rec := &recorder{header: make(http.Header)}
	h.next.ServeHTTP(rec, r)
	return rec.finish()
}

// again is the request as if it had just come. A run that changes its headers or
// reads its body leaves the next one's alone.
func (h *handling) again(ctx context.Context) *http.Request {
	r := h.request.Clone(ctx)
	r.Body = http.NoBody
	if len(h.body) > 0 {
		r.Body = io.NopCloser(bytes.NewReader(h.body))
	}
	r.ContentLength, r.TransferEncoding = int64(len(h.body)), nil
	return r
}
