package interop

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"time"

	"github.com/gofiber/fiber/v3"
	"github.com/gofiber/fiber/v3/middleware/adaptor"
	recoverer "github.com/gofiber/fiber/v3/middleware/recover"
	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemhttp"
)

// fibered is an exchange of fiber.
type fibered struct{ c fiber.Ctx }

func (x fibered) Context() context.Context             { return x.c.Context() }
func (x fibered) Param() string                        { return x.c.Params("id") }
func (x fibered) Query(name string) string             { return x.c.Query(name) }
func (x fibered) SetHeader(name, value string)         { x.c.Set(name, value) }
func (x fibered) Set(name string, value any)           { x.c.Locals(name, value) }
func (x fibered) Get(name string) any                  { return x.c.Locals(name) }
func (x fibered) Used() bool                           { return x.c.GetRespHeader("X-Undone") != "" }
func (x fibered) Body() (string, error)                { return string(x.c.Body()), nil }
func (x fibered) Reply(status int, body string) error  { return x.c.Status(status).SendString(body) }
func (x fibered) Fail(status int, detail string) error { return fiber.NewError(status, detail) }

func (x fibered) Flush(body string) {
	_ = x.c.SendStreamWriter(func(w *bufio.Writer) {
		_, _ = w.WriteString(body)
		_ = w.Flush()
	})
}

func fibering(handle handler) fiber.Handler {
	return func(c fiber.Ctx) error { return handle(fibered{c}) }
}

func newFiber(config ...fiber.Config) *fiber.App {
	app := fiber.New(config...)
	app.Use(recoverer.New(), func(c fiber.Ctx) error {
		for name, value := range outerHeader(c.Get("X-Try")) {
			c.Set(name, value)
		}
		c.Locals("user", "annabel")
		c.SetContext(context.WithValue(c.Context(), valueKey("user"), "annabel"))
		return c.Next()
	})
	return app
}

// listenFiber serves app until the test ends, and returns its URL.
func listenFiber(t *testing.T, app *fiber.App) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ended := make(chan error, 1)
	go func() { ended <- app.Listener(listener, fiber.ListenConfig{DisableStartupMessage: true}) }()
	t.Cleanup(func() {
		require.NoError(t, listener.Close())
		require.NoError(t, <-ended)
	})
	return "http://" + listener.Addr().String()
}

func serveFiber(t *testing.T, p *idemhttp.Protection, handle handler) string {
	t.Helper()
	app := newFiber()
	app.All("/shop/orders/:id", Fiber(p, fibering(handle)))
	return listenFiber(t, app)
}

func serveFiberHTTP(t *testing.T, p *idemhttp.Protection, handle handler) string {
	t.Helper()
	app := newFiber()
	app.All("/shop/orders/:id", FiberHTTP(p, handle))
	return listenFiber(t, app)
}

// TestFiberHTTPMiddlewareCommitsNothing shows the trap that [Fiber] is there for:
// the handler is called when all is over.
func TestFiberHTTPMiddlewareCommitsNothing(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	app := newFiber()
	app.Use(adaptor.HTTPMiddleware(f.protection(idemhttp.IETF).Handler))
	app.Post("/shop/orders/:id", func(c fiber.Ctx) error { return c.Status(http.StatusConflict).SendString("taken") })
	url := listenFiber(t, app)
	require.Equal(t, http.StatusConflict, send(t, post(t, url, "trap", "{}")).status)
	require.Equal(t, 1, f.replies())
	second := send(t, post(t, url, "trap", "{}"))
	require.Equal(t, http.StatusOK, second.status)
	require.Empty(t, second.body)
}

func TestFiberStreamsAreReadInTheTransaction(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	app := newFiber()
	app.Post("/shop/orders/:id", Fiber(f.protection(idemhttp.IETF), func(c fiber.Ctx) error {
		ctx := c.Context()
		return c.Status(http.StatusCreated).SendStreamWriter(func(w *bufio.Writer) {
			_, _ = w.WriteString("one,")
			_ = w.Flush()
			if err := f.effect(ctx, "stream"); err != nil {
				panic(err)
			}
			_, _ = w.WriteString("two")
		})
	}))
	url := listenFiber(t, app)
	for i := range 2 {
		got := send(t, post(t, url, "stream", "{}"))
		require.Equal(t, http.StatusCreated, got.status)
		require.Equal(t, "one,two", got.body)
		require.Equal(t, i == 1, got.replayed())
	}
	require.Equal(t, 1, f.effects())
}

func TestFiberStreamThatBreaksIsAnError(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]fiber.ErrorHandler{
		"answered":   fiber.DefaultErrorHandler,
		"unanswered": func(fiber.Ctx, error) error { return nil },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			app := newFiber(fiber.Config{ErrorHandler: answer})
			app.Post("/shop/orders/:id", Fiber(f.protection(idemhttp.IETF), func(c fiber.Ctx) error {
				if err := f.effect(c.Context(), "breaks"); err != nil {
					return err
				}
				broken := iotest.ErrReader(errors.New("the disk is gone"))
				return c.SendStream(io.MultiReader(strings.NewReader("a part"), broken))
			}))
			got := send(t, post(t, listenFiber(t, app), "breaks", "{}"))
			require.Equal(t, http.StatusInternalServerError, got.status, got.body)
			require.NotContains(t, got.body, "a part")
			require.Zero(t, f.effects())
		})
	}
}

// TestFiberErrorHandlers are the app's, whatever they return.
func TestFiberErrorHandlers(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		answer fiber.ErrorHandler
		status int
		body   string
	}{
		"one of one's own": {func(c fiber.Ctx, err error) error {
			return c.Status(http.StatusGone).SendString(err.Error())
		}, http.StatusGone, "no more lamps"},
		"one that fails": {func(c fiber.Ctx, err error) error {
			return errors.Join(err, c.Status(http.StatusAccepted).SendString("half"))
		}, http.StatusInternalServerError, "half"},
		"one that writes nothing": {func(fiber.Ctx, error) error { return nil }, http.StatusInternalServerError, "Internal Server Error"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			app := newFiber(fiber.Config{ErrorHandler: test.answer})
			app.Post("/shop/orders/:id", Fiber(f.protection(idemhttp.IETF), func(c fiber.Ctx) error {
				if err := f.effect(c.Context(), "handler"); err != nil {
					return err
				}
				return errors.New("no more lamps")
			}))
			got := send(t, post(t, listenFiber(t, app), "handler", "{}"))
			require.Equal(t, test.status, got.status)
			require.Equal(t, test.body, got.body)
			require.Zero(t, f.effects())
			require.Zero(t, f.replies())
		})
	}
}

// TestFiberStreamsOfOtherMethodsFlow: nothing is held back of what is not
// protected.
func TestFiberStreamsOfOtherMethodsFlow(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	heard := make(chan struct{})
	var ended atomic.Bool
	app := newFiber()
	app.Get("/shop/orders/:id", Fiber(f.protection(idemhttp.IETF), func(c fiber.Ctx) error {
		return c.SendStreamWriter(func(w *bufio.Writer) {
			_, _ = w.WriteString("one")
			_ = w.Flush()
			select {
			case <-heard:
			case <-time.After(time.Minute): // where it is held back, nothing is heard before its end
			}
			ended.Store(true)
		})
	}))
	response, err := http.DefaultTransport.RoundTrip(request(t, http.MethodGet, listenFiber(t, app), "", ""))
	require.NoError(t, err)
	defer response.Body.Close()
	part := make([]byte, 3)
	_, err = io.ReadFull(response.Body, part)
	require.NoError(t, err)
	require.Equal(t, "one", string(part))
	require.False(t, ended.Load())
	close(heard)
}

// TestFiberHTTPHandlerThatWritesNothing has its headers sent all the same.
func TestFiberHTTPHandlerThatWritesNothing(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	app := newFiber()
	app.Get("/shop/orders/:id", FiberHTTP(f.protection(idemhttp.IETF), http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Only", "1")
	})))
	got := send(t, request(t, http.MethodGet, listenFiber(t, app), "", ""))
	require.Equal(t, http.StatusOK, got.status)
	require.Equal(t, "1", got.header.Get("X-Only"))
}
