package idemhttp

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/idemtx/idemtx/idemtx"
)

// retryAfter is what a client is told when nothing is known of how long it takes.
const retryAfter = time.Second

// fail answers err. It answers a client that is gone, too: net/http sends a 200
// to one that is not and gets nothing.
func (m *middleware) fail(w http.ResponseWriter, r *http.Request, request idemtx.Request, err error) {
	p := problemOf(err)
	m.log(r, request, p, err)
	p.send(w, m.config.ProblemBase, retryAfterOf(p, err))
}

// problemOf names what err means to the client.
func problemOf(err error) *problem {
	var p *problem
	switch {
	case errors.As(err, &p):
		return p
	case errors.Is(err, idemtx.ErrMismatch):
		return mismatch
	case errors.Is(err, idemtx.ErrInFlight):
		return inFlight
	case errors.Is(err, idemtx.ErrExpired):
		return expired
	case errors.Is(err, idemtx.ErrInvalidRequest):
		return bodyInvalid // key and scope have been looked at before
	case errors.Is(err, idemtx.ErrOutcomeUnknown):
		return unavailable // whatever else it wraps
	case defect(err):
		return internal
	}
	return unavailable // the way to the database, of which any layer may complain
}

// defect tells that err is no matter of time.
func defect(err error) bool {
	var schema *idemtx.SchemaError
	var pgErr *pgconn.PgError
	switch {
	case errors.Is(err, idemtx.ErrReplyNotStorable), errors.Is(err, idemtx.ErrTxMisuse),
		errors.Is(err, errRecord), errors.Is(err, errBodyTaken), errors.As(err, &schema):
		return true
	case errors.As(err, &pgErr):
		return !passing(pgErr.Code)
	}
	return false
}

// passing tells that the server will not refuse for long: by the classes of
// PostgreSQL's appendix A, a broken connection, an undone transaction, a lack of
// resources, an intervention, and the standby of a server that is taking over.
func passing(code string) bool {
	if len(code) != 5 {
		return false
	}
	switch code[:2] {
	case "08", "40", "53", "57":
		return true
	}
	return code == "25006"
}

func retryAfterOf(p *problem, err error) time.Duration {
	if p != inFlight && p != unavailable {
		return 0
	}
	var busy *idemtx.InFlightError
	if errors.As(err, &busy) {
		return max(busy.RetryAfter, time.Second)
	}
	return retryAfter
}

// log tells the operator what the client is not told. That one has gone is no
// failure.
func (m *middleware) log(r *http.Request, request idemtx.Request, p *problem, err error) {
	if p.status < 500 || errors.Is(r.Context().Err(), context.Canceled) {
		return
	}
	level := slog.LevelError
	if p == unavailable {
		level = slog.LevelWarn
	}
	m.config.Logger.LogAttrs(r.Context(), level, "idemhttp: a request failed",
		slog.String("problem", p.name), slog.String("method", r.Method),
		slog.Any("scope", request.Scope), cause(err))
}

// cause is err without what PostgreSQL may quote of a row, or a trigger of its
// own accord.
func cause(err error) slog.Attr {
	var pgErr *pgconn.PgError
	if errors.As(err, &pgErr) {
		return slog.Group("postgres", slog.String("sqlstate", pgErr.Code),
			slog.String("table", pgErr.TableName), slog.String("constraint", pgErr.ConstraintName))
	}
	return slog.String("error", err.Error())
}
