package idemhttp

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"maps"
	"net/http"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/idemtx/idemtx/idemtx"
)

// retryAfter is what a client is told when nothing is known of how long it takes.
const retryAfter = time.Second

// Refuse is the response to err: of [Protection.Check], [idemtx.Do], [idemtx.DoTx]
// or [idemtx.DoPool]. Of what it answers with a 5xx it tells [Config.Logger]. It
// answers a client that is gone, too: net/http sends a 200 to one that is not and
// gets nothing.
func (p *Protection) Refuse(r *http.Request, request idemtx.Request, err error) Response {
	problem := *problemOf(err)
	problem.Type = p.config.ProblemBase + problem.Name
	problem.RetryAfter = retryAfterOf(problem, err)
	p.log(r, request, problem, err)

	response := p.config.Policy.Problem(problem)
	response.Status = cmp.Or(response.Status, problem.Status)
	header := make(http.Header, len(response.Header)+1)
	maps.Copy(header, response.Header)
	if problem.RetryAfter > 0 {
		header.Set("Retry-After", seconds(problem.RetryAfter))
	}
	if problem.Name == bodyTooLarge.Name && r.ProtoMajor == 1 {
		// Otherwise the server waits for the rest of the body before it answers. In
		// HTTP/2 this would end the other requests on the connection.
		header.Set("Connection", "close")
	}
	response.Header = header
	return response
}

// problemOf names what err means to the client.
func problemOf(err error) *Problem {
	var p *Problem
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
		return !passing(pgErr)
	}
	return false
}

func retryAfterOf(p Problem, err error) time.Duration {
	if p.Name != inFlight.Name && p.Name != unavailable.Name {
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
func (p *Protection) log(r *http.Request, request idemtx.Request, problem Problem, err error) {
	if problem.Status < 500 || errors.Is(r.Context().Err(), context.Canceled) {
		return
	}
	level := slog.LevelError
	if problem.Name == unavailable.Name {
		level = slog.LevelWarn
	}
	p.config.Logger.LogAttrs(r.Context(), level, "idemhttp: a request failed",
		slog.String("problem", problem.Name), slog.String("method", r.Method),
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
