package pressure

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemhttp"
	"github.com/idemtx/idemtx/idemtx"
	"github.com/idemtx/idemtx/scope"
)

// protected is a handler behind the middleware.
func (p *process) protected(onDuplicate idemtx.Duplicate, work http.HandlerFunc) http.Handler {
	return idemhttp.Middleware(p.store, idemhttp.Config{
		Scope:  func(*http.Request) (scope.Scope, error) { return whose, nil },
		Policy: idemhttp.Policy{OnDuplicate: onDuplicate},
	})(work)
}

// reply answers with the number of its effect.
func (p *process) reply(w http.ResponseWriter, r *http.Request, key string) {
	o, err := effect(r.Context(), idemhttp.Tx(r.Context()), p.schema, key)
	if err != nil {
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	_, _ = w.Write([]byte(strconv.FormatInt(o.Number, 10)))
}

func post(ctx context.Context, url, key string) *http.Request {
	r := httptest.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader("{}"))
	r.RequestURI = ""
	r.Header.Set("Idempotency-Key", key)
	r.Header.Set("Content-Type", "application/json")
	return r
}

// TestOneConnection: Do, DoTx and the middleware need no more, whoever is there at
// the same time. The connection is the same to the end: no handler that fails,
// refuses or is refused costs one.
func TestOneConnection(t *testing.T) { //nolint:paralleltest // looks at all goroutines
	d := newDatabase(t)
	left := leaks(t)
	p := d.process("one", withMaxConns(1))
	pages := p.protected(idemtx.Wait, func(w http.ResponseWriter, r *http.Request) { p.reply(w, r, r.URL.Path) })
	failed := make(map[string]*sync.Once) // each key's first run
	fn := func(key string) work {
		once := failed[key]
		return func(ctx context.Context, db querier) (o order, err error) {
			o, err = effect(ctx, db, p.schema, key)
			once.Do(func() { err = errors.Join(err, errFailed) })
			return o, err
		}
	}
	const keys, callers = 5, 20
	for k := range keys {
		failed[strconv.Itoa(k)] = new(sync.Once)
	}
	var calls sync.WaitGroup
	for i := range keys * callers {
		key := strconv.Itoa(i % keys)
		switch i / keys % 4 {
		case 0, 1:
			m := modes[i/keys%2]
			calls.Go(func() {
				_, err := m.do(t.Context(), p, request(key), fn(key))
				if errors.Is(err, errFailed) {
					_, err = m.do(t.Context(), p, request(key), fn(key))
				}
				if err != nil {
					t.Error(err)
				}
			})
		case 2:
			calls.Go(func() {
				w := httptest.NewRecorder()
				pages.ServeHTTP(w, post(t.Context(), "/page"+key, "page "+key))
				assert.Equal(t, http.StatusOK, w.Code)
			})
		case 3:
			calls.Go(func() {
				reply, err := modeDo.do(t.Context(), p, request("refused "+key), func(context.Context, querier) (order, error) {
					return order{}, idemtx.ErrRefused
				})
				assert.True(t, err == nil && reply.Refused)
			})
		}
	}
	calls.Wait()
	for k := range keys {
		key := strconv.Itoa(k)
		require.Equal(t, 1, d.effects(key))
		require.Equal(t, 1, d.effects("/page"+key))
		require.Equal(t, 1, d.rows("refused "+key))
	}
	p.idle()
	require.EqualValues(t, 1, p.pool.Stat().NewConnsCount())
	require.Zero(t, p.pool.Stat().CanceledAcquireCount())
	p.pool.Close()
	left()
}

// TestRefusedStatementCostsNoConnection: what PostgreSQL refuses of idemtx's own ends
// no more than a transaction.
func TestRefusedStatementCostsNoConnection(t *testing.T) { //nolint:paralleltest // looks at all goroutines
	d := newDatabase(t)
	d.exec("ALTER TABLE " + d.schema + ".idemtx_replies ADD CHECK (key <> 'refused')")
	left := leaks(t)
	p := d.process("refused", withMaxConns(2))
	p.takeAll()() // two connections have been made
	for _, m := range modes {
		_, err := m.do(foreign(t), p, request("refused"), func(ctx context.Context, db querier) (order, error) {
			return effect(ctx, db, d.schema, "refused")
		})
		require.ErrorContains(t, err, "SQLSTATE 23514", m.name)
		p.idle()
		require.EqualValues(t, 2, p.pool.Stat().TotalConns(), m.name)
	}
	require.EqualValues(t, 2, p.pool.Stat().NewConnsCount())
	require.Zero(t, d.effects("refused"))
	p.pool.Close()
	left()
}

// TestHTTPHandlerDoesNotReturn: net/http lets a handler end its goroutine, too. The
// one connection is there for the next request, which waits for the key.
func TestHTTPHandlerDoesNotReturn(t *testing.T) { //nolint:paralleltest // looks at all goroutines
	d := newDatabase(t)
	leave := map[string]func(){"panic": func() { panic(http.ErrAbortHandler) }, "Goexit": runtime.Goexit}
	left := leaks(t)
	p := d.process("http", withMaxConns(1))
	running, goOn := make(chan struct{}), make(chan struct{})
	s := httptest.NewServer(p.protected(idemtx.Wait, func(w http.ResponseWriter, r *http.Request) {
		p.reply(w, r, r.URL.Path)
		if leaves := leave[r.Header.Get("X-Leave")]; leaves != nil {
			running <- struct{}{}
			await(t, goOn)
			leaves()
		}
	}))
	for name := range leave {
		url := s.URL + "/" + name
		send := func(by string) <-chan int {
			status := make(chan int, 1)
			r := post(context.WithoutCancel(t.Context()), url, name)
			r.Header.Set("X-Leave", by)
			go func() {
				response, err := s.Client().Do(r)
				if err != nil {
					status <- 0
					return
				}
				response.Body.Close()
				status <- response.StatusCode
			}()
			return status
		}
		first := send(name)
		receive(t, "the handler runs", running)
		next := send("")
		until(t, "the next one waits in line", func() bool { return goroutinesIn("idemtx.(*place).await") == 1 })
		goOn <- struct{}{}
		require.Zero(t, receive(t, "the first one is cut off", first))
		require.Equal(t, http.StatusOK, receive(t, "the next one is answered", next))
		require.Equal(t, 1, d.effects("/"+name))
	}
	s.Close()
	p.idle()
	require.EqualValues(t, 1, p.pool.Stat().NewConnsCount())
	p.pool.Close()
	left()
}
