package snippets

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"
)

func acceptOldName(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		old := r.Header.Values("X-Idempotency-Key")
		if len(old) > 0 && len(r.Header.Values("Idempotency-Key")) == 0 {
			r = r.Clone(r.Context())
			r.Header["Idempotency-Key"] = old
		}
		next.ServeHTTP(w, r)
	})
}

func TestMigratingFromGofiberOldName(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ old, now, want []string }{
		{nil, nil, nil},
		{[]string{"a"}, nil, []string{"a"}},
		{nil, []string{"b"}, []string{"b"}},
		{[]string{"a"}, []string{"b"}, []string{"b"}},
		{[]string{"a", "b"}, nil, []string{"a", "b"}}, // which the middleware refuses
	} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", nil)
		r.Header["X-Idempotency-Key"] = c.old
		if c.now != nil {
			r.Header["Idempotency-Key"] = c.now
		}
		var got []string
		acceptOldName(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			got = r.Header.Values("Idempotency-Key")
		})).ServeHTTP(httptest.NewRecorder(), r)
		require.Equal(t, c.want, got)
	}
}
