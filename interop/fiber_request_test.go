package interop

import (
	"bytes"
	"fmt"
	"mime/multipart"
	"net/http"
	"strings"
	"testing"

	"github.com/gofiber/fiber/v3"
	"github.com/gofiber/fiber/v3/middleware/adaptor"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemhttp"
)

// TestFiberAdaptorTakesTwoKeysForOne shows why the protection is not to be inside
// of the adaptor: it drops all but one value of a header.
func TestFiberAdaptorTakesTwoKeysForOne(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	app := newFiber()
	app.Post("/shop/orders/:id", adaptor.HTTPHandler(f.protection(idemhttp.IETF).Handler(f.creating("two"))))
	two := post(t, listenFiber(t, app), "two", "{}")
	two.Header.Add("Idempotency-Key", "keys")
	require.Equal(t, http.StatusCreated, send(t, two).status)
}

// TestFiberRequestThatIsStreamed is read by the protection, and by the handler
// again.
func TestFiberRequestThatIsStreamed(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.failing()
	app := newFiber(fiber.Config{StreamRequestBody: true})
	app.Post("/shop/orders/:id", Fiber(f.protection(idemhttp.IETF), func(c fiber.Ctx) error {
		if err := f.effect(c.Context(), "streamed"); err != nil {
			return err
		}
		return c.Send(c.Body())
	}))
	url := listenFiber(t, app)
	body := `{"a": "` + strings.Repeat("long ", 10_000) + `"}`
	for i := range 2 {
		got := send(t, post(t, url, "streamed", body))
		require.Equal(t, http.StatusOK, got.status, got.body)
		require.Equal(t, body, got.body)
		require.Equal(t, i == 1, got.replayed())
	}
}

// TestFiberRequestIsAsItCame in the second run, whatever the first has made of it.
func TestFiberRequestIsAsItCame(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.failing()
	app := newFiber()
	app.Post("/shop/orders/:id", Fiber(f.protection(idemhttp.IETF), func(c fiber.Ctx) error {
		assert.Empty(t, c.Get("X-Changed"))
		c.Request().Header.Set("X-Changed", "1")
		assert.Equal(t, "{}", string(c.Body()))
		c.Request().SetBodyString("changed")
		return f.effect(c.Context(), "request")
	}))
	got := send(t, post(t, listenFiber(t, app), "request", "{}"))
	require.Equal(t, http.StatusOK, got.status, got.body)
	require.Equal(t, 1, f.effects())
}

// form is a multipart form of many fields, so that their order tells.
func form(t *testing.T, url string) *http.Request {
	t.Helper()
	var body bytes.Buffer
	w := multipart.NewWriter(&body)
	require.NoError(t, w.SetBoundary("boundary"))
	for i := range 20 {
		require.NoError(t, w.WriteField(fmt.Sprint("field", i), fmt.Sprint(i)))
	}
	require.NoError(t, w.Close())
	r := post(t, url, "form", body.String())
	r.Header.Set("Content-Type", w.FormDataContentType())
	return r
}

func TestFiberForms(t *testing.T) {
	t.Parallel()
	for name, config := range map[string]fiber.Config{
		"whole":    {DisablePreParseMultipartForm: true},
		"streamed": {DisablePreParseMultipartForm: true, StreamRequestBody: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			f.failing()
			app := newFiber(config)
			app.Post("/shop/orders/:id", Fiber(f.protection(idemhttp.IETF), func(c fiber.Ctx) error {
				if err := f.effect(c.Context(), "form"); err != nil {
					return err
				}
				return c.SendString(c.FormValue("field7"))
			}))
			url := listenFiber(t, app)
			for i := range 2 {
				got := send(t, form(t, url))
				require.Equal(t, http.StatusOK, got.status, got.body)
				require.Equal(t, "7", got.body)
				require.Equal(t, i == 1, got.replayed())
			}
		})
	}
}

func TestFiberFormThatIsTakenApart(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	app := newFiber(fiber.Config{ErrorHandler: func(_ fiber.Ctx, err error) error {
		assert.Equal(t, errFiberForm, err)
		return err
	}})
	app.Post("/shop/orders/:id", Fiber(f.protection(idemhttp.IETF), fibering(f.creating("form"))))
	require.Equal(t, http.StatusInternalServerError, send(t, form(t, listenFiber(t, app))).status)
	require.Zero(t, f.effects())
}

// TestFiberPathThatIsNoURL is one that fiber routes and net/http does not take.
func TestFiberPathThatIsNoURL(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	app := newFiber()
	app.Post("/shop/orders/:id", Fiber(f.protection(idemhttp.IETF), fibering(f.creating("path"))))
	r := post(t, listenFiber(t, app), "path", "{}")
	r.URL.Opaque = "/shop/orders/%zz"
	require.Equal(t, http.StatusBadRequest, send(t, r).status)
	require.Zero(t, f.effects())
}
