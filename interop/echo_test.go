package interop

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"testing"

	"github.com/labstack/echo/v5"
	"github.com/labstack/echo/v5/middleware"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemhttp"
)

// echoed is an exchange of echo.
type echoed struct{ c *echo.Context }

func (x echoed) Context() context.Context     { return x.c.Request().Context() }
func (x echoed) Param() string                { return x.c.Param("id") }
func (x echoed) Query(name string) string     { return x.c.QueryParam(name) }
func (x echoed) SetHeader(name, value string) { x.c.Response().Header().Set(name, value) }
func (x echoed) Set(name string, value any)   { x.c.Set(name, value) }
func (x echoed) Get(name string) any          { return x.c.Get(name) }
func (x echoed) Used() bool                   { return x.c.Response().Header().Get("X-Undone") != "" }

func (x echoed) Body() (string, error) {
	body, err := io.ReadAll(x.c.Request().Body)
	return string(body), err
}

func (x echoed) Reply(status int, body string) error {
	contentType := x.c.Response().Header().Get("Content-Type")
	return x.c.Blob(status, contentType, []byte(body))
}

func (x echoed) Flush(body string) {
	_, _ = io.WriteString(x.c.Response(), body)
	_ = http.NewResponseController(x.c.Response()).Flush()
}

func (x echoed) Fail(status int, detail string) error { return echo.NewHTTPError(status, detail) }

func echoing(handle handler) echo.HandlerFunc {
	return func(c *echo.Context) error { return handle(echoed{c}) }
}

func newEcho(outside ...echo.MiddlewareFunc) *echo.Echo {
	e := echo.New()
	e.Logger = slog.New(slog.DiscardHandler)
	e.Use(outside...)
	return e
}

func echoHeader(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c *echo.Context) error {
		for name, value := range outerHeader(c.Request().Header.Get("X-Try")) {
			c.Response().Header().Set(name, value)
		}
		return next(c)
	}
}

func echoUser(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c *echo.Context) error {
		c.Set("user", "annabel")
		return next(c)
	}
}

func serveEcho(t *testing.T, p *idemhttp.Protection, handle handler) string {
	t.Helper()
	e := newEcho(middleware.Recover(), echoHeader, echoUser)
	e.Any("/shop/orders/:id", Echo(p, echoing(handle), "user"))
	return listen(t, e)
}

func serveEchoWhole(t *testing.T, p *idemhttp.Protection, handle handler) string {
	t.Helper()
	e := newEcho(echoUser)
	e.Any("/shop/orders/:id", echoing(handle))
	return listen(t, recovery(outer(p.Handler(e))))
}

func serveEchoRecover(t *testing.T, p *idemhttp.Protection, handle handler) string {
	t.Helper()
	e := newEcho()
	e.Any("/shop/orders/:id", Echo(p, middleware.Recover()(echoing(handle))))
	return listen(t, e)
}

// conflicting has the effect, and an error that echo makes a response of.
func (f *fixture) conflicting(c *echo.Context) error {
	if err := f.effect(c.Request().Context(), "conflict"); err != nil {
		return err
	}
	return echo.NewHTTPError(http.StatusConflict, "the seat is taken")
}

// TestEchoWrapMiddlewareCommitsErrors shows the trap that [Echo] is there for.
func TestEchoWrapMiddlewareCommitsErrors(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	e := newEcho()
	e.POST("/shop/orders/:id", f.conflicting, echo.WrapMiddleware(f.protection(idemhttp.IETF).Handler))
	got := send(t, post(t, listen(t, e), "conflict", "{}"))
	require.Equal(t, http.StatusOK, got.status)
	require.Empty(t, got.body)
	require.Equal(t, 1, f.effects())

	f = newFixture(t)
	e = newEcho()
	e.POST("/shop/orders/:id", Echo(f.protection(idemhttp.IETF), f.conflicting))
	require.Equal(t, http.StatusConflict, send(t, post(t, listen(t, e), "conflict", "{}")).status)
	require.Zero(t, f.effects())
}

func TestEchoErrorHandlerThatWritesNothing(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	e := newEcho()
	e.HTTPErrorHandler = func(*echo.Context, error) {}
	e.POST("/shop/orders/:id", Echo(f.protection(idemhttp.IETF), f.conflicting))
	require.Equal(t, http.StatusInternalServerError, send(t, post(t, listen(t, e), "conflict", "{}")).status)
	require.Zero(t, f.effects())
}

func TestEchoErrorHandlerOfOnesOwn(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	e := newEcho()
	e.HTTPErrorHandler = func(c *echo.Context, err error) {
		assert.Equal(t, "no more lamps", err.Error())
		assert.NoError(t, c.String(http.StatusGone, "sold out"))
	}
	e.POST("/shop/orders/:id", Echo(f.protection(idemhttp.IETF), func(c *echo.Context) error {
		if err := f.effect(c.Request().Context(), "own"); err != nil {
			return err
		}
		return errors.New("no more lamps")
	}))
	got := send(t, post(t, listen(t, e), "own", "{}"))
	require.Equal(t, http.StatusGone, got.status)
	require.Equal(t, "sold out", got.body)
	require.Zero(t, f.effects())
}

// TestEchoKnowsTheRoute in the handler, and what binders and logs want to know.
func TestEchoKnowsTheRoute(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	logger := slog.New(slog.DiscardHandler)
	e := newEcho(func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c *echo.Context) error {
			c.SetLogger(logger)
			return next(c)
		}
	})
	e.POST("/shop/orders/:id", Echo(f.protection(idemhttp.IETF), func(c *echo.Context) error {
		assert.Same(t, logger, c.Logger())
		assert.Equal(t, "/shop/orders/:id", c.Path())
		assert.Equal(t, "/shop/orders/:id", c.RouteInfo().Path)
		var order struct {
			ID   int    `param:"id"`
			Note string `json:"note"`
		}
		if err := c.Bind(&order); err != nil {
			return err
		}
		assert.Equal(t, 17, order.ID)
		return c.String(http.StatusOK, order.Note)
	}))
	require.Equal(t, "fragile", send(t, post(t, listen(t, e), "bind", `{"note": "fragile"}`)).body)
}

// TestEchoErrorAfterAResponse is seen by nobody, here as without idemhttp.
func TestEchoErrorAfterAResponse(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	e := newEcho()
	e.POST("/shop/orders/:id", Echo(f.protection(idemhttp.IETF), func(c *echo.Context) error {
		if err := f.creating("late")(echoed{c}); err != nil {
			return err
		}
		return errors.New("no more lamps")
	}))
	require.Equal(t, http.StatusCreated, send(t, post(t, listen(t, e), "late", "{}")).status)
	require.Equal(t, 1, f.effects())
}
