package integration

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// provider charges as payment providers do: once for an idempotency key, whose
// answer it repeats. A key that comes with another amount is refused.
type provider struct {
	url string

	mu      sync.Mutex
	kept    map[string]charge // by key
	calls   int
	charges []charge // in their order
}

type charge struct {
	id     string
	amount string
}

// errOtherAmount is a provider's refusal of a key that it knows from another
// charge.
var errOtherAmount = errors.New("the provider knows the key from another charge")

func newProvider(t *testing.T) *provider {
	t.Helper()
	p := &provider{kept: make(map[string]charge)}
	srv := httptest.NewServer(p)
	t.Cleanup(srv.Close)
	p.url = srv.URL
	return p
}

func (p *provider) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	amount, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.calls++
	key := r.Header.Get("Idempotency-Key")
	c, known := p.kept[key]
	switch {
	case !known:
		c = charge{fmt.Sprint("ch_", len(p.charges)+1), string(amount)}
		p.charges = append(p.charges, c)
		p.kept[key] = c
	case c.amount != string(amount):
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	_, _ = io.WriteString(w, c.id)
}

// charge is what a service calls the provider with.
func (p *provider) charge(ctx context.Context, key, amount string) (id string, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, p.url, strings.NewReader(amount))
	if err != nil {
		return "", err
	}
	r.Header.Set("Idempotency-Key", key)
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return "", errOtherAmount
	}
	body, err := io.ReadAll(response.Body)
	return string(body), err
}

// requireCharges requires the provider to have been called so often, and to have
// charged these amounts.
func (p *provider) requireCharges(t *testing.T, calls int, amounts ...string) {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	require.Equal(t, calls, p.calls)
	charged := make([]string, len(p.charges))
	for i, c := range p.charges {
		charged[i] = c.amount
	}
	require.Equal(t, amounts, charged)
}
