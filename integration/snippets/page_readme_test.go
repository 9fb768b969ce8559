package snippets

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemhttp"
)

// The rest of README.md's code is in readme, and in ../readme_test.go.

func TestReadmeClientSendsAKey(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = w.Write([]byte(r.Header.Get("Idempotency-Key")))
	}))
	defer server.Close()
	client := &http.Client{Transport: &idemhttp.Transport{}, Timeout: time.Minute}
	response, err := client.Post(server.URL, "application/json", strings.NewReader("{}"))
	require.NoError(t, err)
	defer response.Body.Close()
	require.Equal(t, http.StatusOK, response.StatusCode)
	require.Equal(t, int64(len(`"00000000-0000-0000-0000-000000000000"`)), response.ContentLength)
}
