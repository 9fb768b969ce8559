package outbox

import (
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/stretchr/testify/require"
)

// answer is what of a response must come back in a replay, and whether it is one.
type answer struct {
	status   int
	body     string
	replayed bool
}

// client sends each request on a connection of its own: on one that was used before,
// net/http sends it again by itself when the process dies.
var client = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: patience}

// post sends the order under its key.
func (p *process) post(sku string) (answer, error) {
	body := fmt.Sprintf(`{"customer":%q,"sku":%q,"quantity":1}`, customer, sku)
	request, err := http.NewRequestWithContext(p.Context(), http.MethodPost, p.url+"/orders", strings.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	request.Header.Set("Authorization", "Bearer "+token)
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Idempotency-Key", key)
	response, err := client.Do(request)
	if err != nil {
		return answer{}, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	return answer{response.StatusCode, string(text), response.Header.Get("Idempotency-Replayed") == "true"}, err
}

// order sends the order, and is answered.
func (p *process) order(sku string) answer {
	p.Helper()
	a, err := p.post(sku)
	require.NoError(p, err, p.stderr)
	return a
}

// placed sends the order of a lamp, which is placed.
func (p *process) placed(replayed bool) answer {
	p.Helper()
	a := p.order("lamp")
	require.Equal(p, http.StatusCreated, a.status, a.body)
	require.Equal(p, replayed, a.replayed)
	return a
}

// lost sends the order of a lamp to a process that will be dead before it answers.
func (p *process) lost() (unanswered <-chan bool) {
	end := make(chan bool, 1)
	go func() {
		_, err := p.post("lamp")
		end <- err != nil
	}()
	return end
}
