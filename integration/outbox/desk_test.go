package outbox

import (
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
)

// desk stands before the mail provider. It sees each call, and does to the first what
// it has been told.
type desk struct {
	provider, url string
	over          chan struct{} // closed at the end of the test

	mu         sync.Mutex
	calls      []call
	statuses   []int
	before     *stop
	after      *stop
	turnedAway int
}

// call is what must be the same in each call for a mail.
type call struct{ key, body string }

// hangUp is the status of no answer.
const hangUp = -1

// stop is where a call waits until it may go on.
type stop struct{ arrived, goOn chan struct{} }

func newDesk(t *testing.T, provider string) *desk {
	t.Helper()
	d := &desk{provider: provider, over: make(chan struct{})}
	s := httptest.NewServer(d)
	d.url = s.URL
	t.Cleanup(s.Close) // when all calls have ended
	t.Cleanup(func() { close(d.over) })
	return d
}

// holdBefore holds the first call before the provider hears of it.
func (d *desk) holdBefore() *stop { return d.hold(&d.before) }

// holdAfter holds the provider's answer to the first call.
func (d *desk) holdAfter() *stop { return d.hold(&d.after) }

func (d *desk) hold(where **stop) *stop {
	d.mu.Lock()
	defer d.mu.Unlock()
	*where = &stop{make(chan struct{}), make(chan struct{})}
	return *where
}

// turnAway answers the first call with a status, or hangs up, without the provider.
func (d *desk) turnAway(status int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.turnedAway = status
}

// seen are the calls so far.
func (d *desk) seen() []call {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.calls)
}

// answered are the provider's answers so far.
func (d *desk) answered() []int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.statuses)
}

// arrives writes a call down, and takes for it what was meant for the first.
func (d *desk) arrives(c call) (before, after *stop, turnedAway int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.calls = append(d.calls, c)
	before, after, turnedAway = d.before, d.after, d.turnedAway
	d.before, d.after, d.turnedAway = nil, nil, 0
	return before, after, turnedAway
}

// ServeHTTP hands a call on also when its caller is dead or has lost patience: what is
// on its way comes all the same.
func (d *desk) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	c := call{r.Header.Get("Idempotency-Key"), string(body)}
	before, after, turnedAway := d.arrives(c)
	d.passes(before)
	switch turnedAway {
	case 0:
	case hangUp:
		panic(http.ErrAbortHandler)
	default:
		w.Header().Set("Location", d.provider) // where a GET has 200
		w.WriteHeader(turnedAway)
		return
	}
	status, err := c.handOn(d.provider)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	d.mu.Lock()
	d.statuses = append(d.statuses, status)
	d.mu.Unlock()
	d.passes(after)
	w.WriteHeader(status)
}

func (d *desk) passes(s *stop) {
	if s == nil {
		return
	}
	close(s.arrived)
	select {
	case <-s.goOn:
	case <-d.over:
		panic(http.ErrAbortHandler)
	}
}

func (c call) handOn(url string) (status int, err error) {
	request, err := http.NewRequest(http.MethodPost, url, strings.NewReader(c.body))
	if err != nil {
		return 0, err
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Idempotency-Key", c.key)
	response, err := client.Do(request)
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	return response.StatusCode, nil
}
