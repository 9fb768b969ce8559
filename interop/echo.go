package interop

import (
	"net/http"

	"github.com/labstack/echo/v5"

	"github.com/idemtx/idemtx/idemhttp"
)

// Echo protects a handler of echo:
//
//	e.POST("/orders/:id", interop.Echo(protection, createOrder, "user"))
//
// The handler has its transaction from idemhttp.Tx(c.Request().Context()). It
// runs in a context of its own, which knows the route, and of the values set by
// middleware those that carry names: echo cannot list them, and in one context
// for all runs those of an undone run would stay. What the handler sets is not
// seen outside.
//
// Do not use [echo.WrapMiddleware] with idemhttp: an error that the handler
// returns passes it by, so that nothing was written, which is a 200, and the
// transaction commits. Here the error handler is called inside. One that writes
// nothing is taken for a 500. An error after a response is lost, as ever in echo:
// the response decides.
//
// Response().Flush panics, which undoes: nothing can be sent before the commit.
func Echo(p *idemhttp.Protection, handle echo.HandlerFunc, carry ...string) echo.HandlerFunc {
	return func(c *echo.Context) error {
		p.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			run := c.Echo().NewContext(r, w)
			route, params := c.RouteInfo(), c.PathValues()
			run.InitializeRoute(&route, &params)
			run.SetLogger(c.Logger())
			for _, name := range carry {
				run.Set(name, c.Get(name))
			}
			err := handle(run)
			if err == nil {
				return
			}
			c.Echo().HTTPErrorHandler(run, err)
			if response, _ := echo.UnwrapResponse(run.Response()); response == nil || !response.Committed {
				w.WriteHeader(http.StatusInternalServerError)
			}
		})).ServeHTTP(c.Response(), c.Request())
		return nil
	}
}
