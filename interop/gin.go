package interop

import (
	"maps"
	"net/http"
	"slices"

	"github.com/gin-gonic/gin"

	"github.com/idemtx/idemtx/idemhttp"
)

// Gin protects a handler of gin:
//
//	engine.POST("/orders/:id", interop.Gin(engine, protection, createOrder))
//
// The handler has its transaction from idemhttp.Tx(c.Request.Context()), or from c
// if the engine has ContextWithFallback. It runs in a context of its own, with the
// parameters and values that c has. What it sets is not seen outside, but for the
// errors of the last run. FullPath is empty in it.
//
// Not c.Copy: it is a context that is aborted. Not c either, for it cannot be
// taken back that a run has aborted it: a handler that looks at IsAborted would
// return in the next run, with nothing written, which is a 200, and commit.
//
// Errors that are left with c.Error and no response are taken for a 500, which is
// what the policy is asked about. Middleware that makes a response of them may do
// so outside, but a replay has what was made of them inside, in handle.
//
// c.Writer.Flush does nothing, and c.Stream panics, which undoes: nothing can be
// sent before the commit.
func Gin(engine *gin.Engine, p *idemhttp.Protection, handle gin.HandlerFunc) gin.HandlerFunc {
	return func(c *gin.Context) {
		p.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			// It is not for tests only: it is the one way to a fresh context.
			run := gin.CreateTestContextOnly(w, engine)
			run.Request, run.Params, run.Keys = r, slices.Clone(c.Params), maps.Clone(c.Keys)
			handle(run)
			c.Errors = run.Errors
			if len(run.Errors) > 0 && run.Writer.Status() < http.StatusBadRequest {
				run.Status(http.StatusInternalServerError)
			}
			run.Writer.WriteHeaderNow()
		})).ServeHTTP(c.Writer, c.Request)
	}
}
