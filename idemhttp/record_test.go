package idemhttp

import (
	"fmt"
	"io"
	"log"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// behaviours are handlers whose reply must not depend on whether it is recorded.
var behaviours = map[string]func(w http.ResponseWriter, r *http.Request) error{
	"nothing":      func(http.ResponseWriter, *http.Request) error { return nil },
	"status alone": func(w http.ResponseWriter, _ *http.Request) error { w.WriteHeader(418); return nil },
	"body alone": func(w http.ResponseWriter, _ *http.Request) error {
		_, err := io.WriteString(w, "hello")
		return err
	},
	"status and body": func(w http.ResponseWriter, _ *http.Request) error {
		w.Header().Set("Location", "/orders/1")
		w.WriteHeader(http.StatusCreated)
		_, err := io.WriteString(w, `{"id":1}`)
		return err
	},
	"a status after the status": func(w http.ResponseWriter, _ *http.Request) error {
		w.WriteHeader(http.StatusAccepted)
		w.WriteHeader(http.StatusInternalServerError)
		return nil
	},
	"a status after the body": func(w http.ResponseWriter, _ *http.Request) error {
		_, err := io.WriteString(w, "hello")
		w.WriteHeader(http.StatusInternalServerError)
		return err
	},
	"a header after the status": func(w http.ResponseWriter, _ *http.Request) error {
		w.Header().Set("X-Before", "1")
		w.WriteHeader(http.StatusOK)
		w.Header().Set("X-After", "1")
		w.Header().Del("X-Before")
		return nil
	},
	"a header after an empty write": func(w http.ResponseWriter, _ *http.Request) error {
		_, err := w.Write(nil)
		w.Header().Set("X-After", "1")
		return err
	},
	"early hints": func(w http.ResponseWriter, _ *http.Request) error {
		w.Header().Set("Link", "</style.css>; rel=preload")
		w.WriteHeader(http.StatusEarlyHints)
		w.WriteHeader(http.StatusProcessing)
		w.WriteHeader(http.StatusCreated)
		return nil
	},
	"a body with 204": func(w http.ResponseWriter, _ *http.Request) error {
		w.Header().Set("Content-Type", "text/plain")
		w.WriteHeader(http.StatusNoContent)
		_, err := io.WriteString(w, "hello")
		return err
	},
	"a body with 304": func(w http.ResponseWriter, _ *http.Request) error {
		w.Header().Set("Content-Type", "text/plain")
		w.Header().Set("Etag", `"1"`)
		w.WriteHeader(http.StatusNotModified)
		_, err := io.WriteString(w, "hello")
		return err
	},
	"an empty body with 204": func(w http.ResponseWriter, _ *http.Request) error {
		w.WriteHeader(http.StatusNoContent)
		_, err := w.Write(nil)
		return err
	},
	"HTML, unsaid": func(w http.ResponseWriter, _ *http.Request) error {
		_, err := io.WriteString(w, "<!DOCTYPE html><p>hello")
		return err
	},
	"HTML, unsaid and in pieces": func(w http.ResponseWriter, _ *http.Request) error {
		for _, c := range "  <!DOCTYPE html><p>hello" {
			if _, err := fmt.Fprintf(w, "%c", c); err != nil {
				return err
			}
		}
		return nil
	},
	"a type that must not be guessed": func(w http.ResponseWriter, _ *http.Request) error {
		w.Header()["Content-Type"] = nil
		_, err := io.WriteString(w, "<!DOCTYPE html><p>hello")
		return err
	},
	"an encoding without a type": func(w http.ResponseWriter, _ *http.Request) error {
		w.Header().Set("Content-Encoding", "br")
		_, err := io.WriteString(w, "<!DOCTYPE html><p>hello")
		return err
	},
	"a long body": func(w http.ResponseWriter, _ *http.Request) error {
		for range 1000 {
			if _, err := io.WriteString(w, "0123456789"); err != nil {
				return err
			}
		}
		return nil
	},
	"a body from a reader": func(w http.ResponseWriter, _ *http.Request) error {
		_, err := io.Copy(w, io.LimitReader(strings.NewReader(strings.Repeat("x", 9000)), 8000))
		return err
	},
	"a declared length": func(w http.ResponseWriter, _ *http.Request) error {
		w.Header().Set("Content-Length", "5")
		_, err := io.WriteString(w, "hello")
		return err
	},
	"a declared length to HEAD": func(w http.ResponseWriter, r *http.Request) error {
		w.Header().Set("Content-Length", "5")
		if r.Method == http.MethodHead {
			return nil
		}
		_, err := io.WriteString(w, "hello")
		return err
	},
	"headers of all kinds": func(w http.ResponseWriter, _ *http.Request) error {
		h := w.Header()
		h["X-List"] = []string{"c", "a", "b", "a"}
		h["X-Empty"] = []string{""}
		h["X-None"] = []string{}
		h.Set("X-Latin", "caf\xe9")
		h.Set("X-Unicode", "café")
		h.Set("X-Markup", `<a href="?x=1&y=2">\u0041</a>`)
		h["x-own-case"] = []string{"1"}
		w.WriteHeader(http.StatusOK)
		h["X-List"][0] = "changed"
		return nil
	},
	"an error": func(w http.ResponseWriter, _ *http.Request) error {
		http.Error(w, "no", http.StatusTeapot)
		return nil
	},
	"a redirection": func(w http.ResponseWriter, r *http.Request) error {
		http.Redirect(w, r, "/elsewhere?x=1", http.StatusSeeOther)
		return nil
	},
	"a range": func(w http.ResponseWriter, r *http.Request) error {
		r.Header.Set("Range", "bytes=2-4")
		http.ServeContent(w, r, "a.txt", time.Time{}, strings.NewReader("0123456789"))
		return nil
	},
	"no way to flush": func(w http.ResponseWriter, _ *http.Request) error {
		if rec, recorded := w.(*recorder); recorded {
			if err := http.NewResponseController(rec).Flush(); err == nil {
				return io.ErrUnexpectedEOF
			}
		}
		_, err := io.WriteString(w, "hello")
		return err
	},
}

// TestRecordedRepliesAreThoseOfNetHTTP sends each reply bare, recorded, and
// replayed from what is stored, and compares what arrives.
func TestRecordedRepliesAreThoseOfNetHTTP(t *testing.T) {
	t.Parallel()
	for _, protocol := range []string{"HTTP/1.1", "HTTP/2.0"} {
		for _, method := range []string{http.MethodPost, http.MethodHead} {
			for name, behave := range behaviours {
				t.Run(protocol+" "+method+" "+name, func(t *testing.T) {
					t.Parallel()
					bare := exchange(t, protocol, method, func(w http.ResponseWriter, r *http.Request) error {
						return behave(w, r)
					})
					var stored Response
					first := exchange(t, protocol, method, func(w http.ResponseWriter, r *http.Request) error {
						response, err := recorded(t, r, behave)
						stored = response
						response.Send(w)
						return err
					})
					replayed := exchange(t, protocol, method, func(w http.ResponseWriter, r *http.Request) error {
						restored(t, stored).Send(w)
						return first.err
					})
					require.Equal(t, first, replayed)
					if bare.header.Get("Content-Length") == "" {
						// net/http has sent pieces before it knew how many.
						first.header.Del("Content-Length")
					}
					if protocol == "HTTP/2.0" {
						first.err = bare.err // its Write fails in other cases than HTTP/1.1's
					}
					require.Equal(t, bare, first)
				})
			}
		}
	}
}

// unlimited is a protection as any other, for replies of any length.
var unlimited = &Protection{config: Config{}.withDefaults(), limit: math.MaxInt}

// recorded is the complete response of a handler, and what it returns.
func recorded(t *testing.T, r *http.Request, handle func(http.ResponseWriter, *http.Request) error) (Response, error) {
	t.Helper()
	rec := &recorder{header: make(http.Header), room: math.MaxInt}
	told := handle(rec, r)
	response, err := rec.finish()
	if assert.NoError(t, err) {
		response, err = unlimited.complete(response, r.Method)
		assert.NoError(t, err)
	}
	return response, told
}

// received is what a client got, and what the handler was told by Write.
type received struct {
	status int
	header http.Header
	body   string
	err    error
}

func exchange(t *testing.T, protocol, method string, handler func(http.ResponseWriter, *http.Request) error) received {
	t.Helper()
	var got received
	told := make(chan error, 1)
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		told <- handler(w, r)
	}))
	srv.EnableHTTP2 = protocol == "HTTP/2.0"
	srv.Config.ErrorLog = log.New(io.Discard, "", 0) // it complains of a second WriteHeader
	srv.StartTLS()
	client := srv.Client()
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	request, err := http.NewRequestWithContext(t.Context(), method, srv.URL+"/", http.NoBody)
	require.NoError(t, err)
	request.Header.Set("Accept-Encoding", "identity")
	response, err := client.Do(request)
	require.NoError(t, err)
	require.Equal(t, protocol, response.Proto)
	body, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	srv.Close()
	got.err = <-told // which Close does not wait for in HTTP/2
	got.status, got.header, got.body = response.StatusCode, response.Header, string(body)
	got.header.Del("Date")
	return got
}

// restored is the reply as it comes back from the store.
func restored(t *testing.T, r Response) (back Response) {
	t.Helper()
	response, body, err := r.MarshalReply()
	require.NoError(t, err)
	require.NoError(t, back.UnmarshalReply(response, body))
	return back
}

func TestRecorderRefusesAnInvalidStatus(t *testing.T) {
	t.Parallel()
	for _, status := range []int{-1, 0, 99, 1000} {
		require.Panics(t, func() { (&recorder{header: make(http.Header)}).WriteHeader(status) })
	}
}

// TestRecorderLetsNothingThrough names the ways past a ResponseWriter that
// net/http and its users look for.
func TestRecorderLetsNothingThrough(t *testing.T) {
	t.Parallel()
	var w http.ResponseWriter = &recorder{header: make(http.Header)}
	for _, way := range []bool{
		implements[http.Flusher](w),
		implements[interface{ FlushError() error }](w),
		implements[http.Hijacker](w),
		implements[http.Pusher](w),
		implements[io.ReaderFrom](w),
		implements[interface{ Unwrap() http.ResponseWriter }](w),
	} {
		require.False(t, way)
	}
	require.ErrorIs(t, http.NewResponseController(w).Flush(), http.ErrNotSupported)
}

func implements[T any](w http.ResponseWriter) bool {
	_, ok := w.(T)
	return ok
}
