package interop

import (
	"context"
	"errors"
	"io"
	"net/http"
	"testing"

	"github.com/gin-gonic/gin"
	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemhttp"
)

func init() { gin.SetMode(gin.ReleaseMode) } // or it prints the routes

// ginned is an exchange of gin.
type ginned struct{ c *gin.Context }

func (x ginned) Context() context.Context     { return x.c.Request.Context() }
func (x ginned) Param() string                { return x.c.Param("id") }
func (x ginned) Query(name string) string     { return x.c.Query(name) }
func (x ginned) SetHeader(name, value string) { x.c.Header(name, value) }
func (x ginned) Set(name string, value any)   { x.c.Set(name, value) }
func (x ginned) Used() bool {
	return x.c.IsAborted() || x.c.Writer.Written() || len(x.c.Errors) > 0 || x.c.Writer.Header().Get("X-Undone") != ""
}

func (x ginned) Get(name string) any {
	value, _ := x.c.Get(name)
	return value
}

func (x ginned) Body() (string, error) {
	body, err := x.c.GetRawData()
	return string(body), err
}

func (x ginned) Reply(status int, body string) error {
	x.c.Data(status, x.c.Writer.Header().Get("Content-Type"), []byte(body))
	return nil
}

func (x ginned) Flush(body string) {
	_, _ = x.c.Writer.WriteString(body)
	x.c.Writer.Flush()
}

func (x ginned) Fail(status int, detail string) error {
	x.c.AbortWithStatusJSON(status, gin.H{"detail": detail})
	return nil
}

func ginning(handle handler) gin.HandlerFunc {
	return func(c *gin.Context) {
		if err := handle(ginned{c}); err != nil {
			_ = c.Error(err)
		}
	}
}

func newGin(outside ...gin.HandlerFunc) *gin.Engine {
	engine := gin.New()
	engine.Use(outside...)
	return engine
}

func ginHeader(c *gin.Context) {
	for name, value := range outerHeader(c.GetHeader("X-Try")) {
		c.Header(name, value)
	}
}

func ginUser(c *gin.Context) { c.Set("user", "annabel") }

func serveGin(t *testing.T, p *idemhttp.Protection, handle handler) string {
	t.Helper()
	engine := newGin(gin.RecoveryWithWriter(io.Discard), ginHeader, ginUser)
	engine.Any("/shop/orders/:id", Gin(engine, p, ginning(handle)))
	return listen(t, engine)
}

// serveGinWhole has the errors answered inside, by middleware.
func serveGinWhole(t *testing.T, p *idemhttp.Protection, handle handler) string {
	t.Helper()
	engine := newGin(ginUser)
	engine.Any("/shop/orders/:id", answerErrors, ginning(handle))
	return listen(t, recovery(outer(p.Handler(engine))))
}

func serveGinRecovery(t *testing.T, p *idemhttp.Protection, handle handler) string {
	t.Helper()
	engine := newGin(gin.RecoveryWithWriter(io.Discard))
	engine.Any("/shop/orders/:id", ginning(handle))
	return listen(t, p.Handler(engine))
}

func answerErrors(c *gin.Context) {
	c.Next()
	if len(c.Errors) > 0 && !c.Writer.Written() {
		c.AbortWithStatusJSON(http.StatusInternalServerError, gin.H{"detail": c.Errors.Last().Error()})
	}
}

// TestGinErrorsAreAnsweredOutside, after they have undone the transaction.
func TestGinErrorsAreAnsweredOutside(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	engine := newGin()
	engine.Use(answerErrors)
	engine.POST("/shop/orders/:id", Gin(engine, f.protection(idemhttp.IETF), func(c *gin.Context) {
		if err := f.effect(c.Request.Context(), "errors"); err != nil {
			return
		}
		_ = c.Error(errors.New("no more lamps"))
	}))
	got := send(t, post(t, listen(t, engine), "errors", "{}"))
	require.Equal(t, http.StatusInternalServerError, got.status)
	require.JSONEq(t, `{"detail": "no more lamps"}`, got.body)
	require.Zero(t, f.effects())
	require.Zero(t, f.replies())
}

// TestGinStreamPanics: it asks the writer for what only a connection has.
func TestGinStreamPanics(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	engine := newGin(gin.RecoveryWithWriter(io.Discard))
	engine.POST("/shop/orders/:id", Gin(engine, f.protection(idemhttp.IETF), func(c *gin.Context) {
		if err := f.effect(c.Request.Context(), "stream"); err != nil {
			return
		}
		c.Stream(func(w io.Writer) bool {
			_, _ = io.WriteString(w, "a part")
			return false
		})
	}))
	got := send(t, post(t, listen(t, engine), "stream", "{}"))
	require.Equal(t, http.StatusInternalServerError, got.status)
	require.Empty(t, got.body)
	require.Zero(t, f.effects())
	require.Zero(t, f.replies())
}

func TestGinContextHasTheTransaction(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	engine := newGin()
	engine.ContextWithFallback = true
	engine.POST("/shop/orders/:id", Gin(engine, f.protection(idemhttp.IETF), func(c *gin.Context) {
		if err := f.effect(c, "fallback"); err != nil {
			_ = c.Error(err)
		}
	}))
	require.Equal(t, http.StatusOK, send(t, post(t, listen(t, engine), "fallback", "{}")).status)
	require.Equal(t, 1, f.effects())
}
