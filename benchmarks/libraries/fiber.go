package libraries

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	gofiber "github.com/gofiber/fiber/v3"
	"github.com/gofiber/fiber/v3/middleware/idempotency"
	"github.com/gofiber/storage/postgres/v3"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/valyala/fasthttp"

	"github.com/idemtx/idemtx/benchmarks/contender"
)

// fiber is the middleware of the Fiber web framework over its own storage.
//
// The app's handler is called with a request in memory: routing and middleware
// are in the time, a parser and a socket are not.
func fiber() contender.Contender {
	return contender.Contender{
		Name: "gofiber",
		Kind: contender.Peer,
		About: "fiber v3.1.0 idempotency middleware, storage/postgres v3.3.1: 2 commits, 4 statements (replay: 0, 1); " +
			"not atomic, its lock is of one process; routing is in the time, a parser and a socket are not",
		Open: openFiber,
	}
}

func openFiber(ctx context.Context, e contender.Env) (contender.Handle, func(), error) {
	pool, err := e.Pool(ctx)
	if err != nil {
		return nil, nil, err
	}
	storage := postgres.New(postgres.Config{DB: pool, Table: e.Schema + ".fiber_storage"})
	app := gofiber.New()
	app.Use(callerContext, marked, idempotency.New(idempotency.Config{
		Storage:           storage,
		Lifetime:          24 * time.Hour,
		KeyHeaderValidate: keyFits,
	}))
	app.Post("/", effectHandler(pool, e))
	return call(app.Handler()), func() { _ = storage.Close() }, nil // closes the pool as well
}

func effectHandler(pool *pgxpool.Pool, e contender.Env) gofiber.Handler {
	effect := e.Effect()
	return func(c gofiber.Ctx) error {
		var id int64
		if err := pool.QueryRow(c.Context(), effect, c.Get("X-Idempotency-Key")).Scan(&id); err != nil {
			return err
		}
		c.Set(gofiber.HeaderContentType, gofiber.MIMEApplicationJSON)
		return c.Send(e.ReplyTo(id))
	}
}

// call hands requests to an app as its server would, which uses contexts again.
func call(handler fasthttp.RequestHandler) contender.Handle {
	contexts := sync.Pool{New: func() any {
		c := new(fasthttp.RequestCtx)
		c.Init2(nil, nil, false)
		return c
	}}
	return func(ctx context.Context, r contender.Request) ([]byte, bool, error) {
		c := contexts.Get().(*fasthttp.RequestCtx)
		defer contexts.Put(c)
		c.ResetUserValues()
		c.Response.Reset()
		c.Request.Reset()
		c.Request.Header.SetMethod(fasthttp.MethodPost)
		c.Request.SetRequestURI("/")
		c.Request.Header.SetContentType("application/json")
		c.Request.Header.Set("X-Idempotency-Key", r.Key)
		c.Request.SetBodyRaw(r.Payload)
		c.SetUserValue(callerKey{}, ctx)
		handler(c)
		body := slices.Clone(c.Response.Body())
		if status := c.Response.StatusCode(); status != fasthttp.StatusOK {
			return nil, false, fmt.Errorf("status %d: %s", status, body)
		}
		return body, len(c.Response.Header.Peek("Idempotency-Replayed")) > 0, nil
	}
}

// callerKey is where the context of the caller is.
type callerKey struct{}

// callerContext lets a handler end with its caller.
func callerContext(c gofiber.Ctx) error {
	if ctx, ok := c.Value(callerKey{}).(context.Context); ok {
		c.SetContext(ctx)
	}
	return c.Next()
}

// marked tells a replay from a first reply, which the middleware leaves to its
// user.
func marked(c gofiber.Ctx) error {
	err := c.Next()
	if idempotency.IsFromCache(c) {
		c.Set("Idempotency-Replayed", "true")
	}
	return err
}

// keyFits stands in for a check that takes nothing but UUIDs. The column that a
// key goes to has 64 characters.
func keyFits(key string) error {
	if len(key) > 64 {
		return fmt.Errorf("%w: longer than 64 bytes", idempotency.ErrInvalidIdempotencyKey)
	}
	return nil
}
