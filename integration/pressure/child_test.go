package pressure

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"sync"
	"time"

	"go.uber.org/goleak"

	"github.com/idemtx/idemtx/idemtx"
	"github.com/idemtx/idemtx/integration/internal/usage"
)

// childTask is the variable that makes this binary a child, which is a process of
// a service in a storm, and tells it what to do.
const childTask = "IDEMTX_PRESSURE_CHILD"

// task is what a child does: many callers at two hot keys, one of Do and DoPool or
// DoTx and one of the middleware, and then one at each of many cold keys.
type task struct {
	URL, Schema, Application string

	MaxConns int32
	Callers  map[idemtx.Mode]int // of the hot key; half of those of Do and DoPool refuse to wait
	Pages    int                 // requests to the hot page; a tenth of them refuse to wait
	Holds    int                 // how many of the two keys its handlers have
	Cold     int                 // of each way in
}

// report is what a child has to say: once while the hot keys' handlers are held,
// and once at its end.
type report struct {
	Ran      int            // handlers of hot keys
	Replies  map[string]int // of the hot keys, with how many calls have got them
	InFlight int            // calls that refused to wait
	Cold     int            // calls of cold keys that have ended
	Hot      used           // connections, for the hot key
	Page     used           // and for the hot page
	Leak     string         // goroutines
	Errors   []string       // that should not have been

	Acquired      int32 // of the pool, when all calls have ended
	Canceled, New int64
}

type used struct{ Taken, Most int }

const (
	hotKey  = "hot"
	hotPage = "/hot"
)

func child(text string) int {
	before := goleak.IgnoreCurrent()
	s := &storm{usage: usage.New(), goOn: make(chan struct{})}
	if err := json.Unmarshal([]byte(text), &s.task); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	var err error
	if s.process, err = newProcess(s.URL, s.Schema, s.Application, withMaxConns(s.MaxConns), s.usage.Trace); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	stdout := json.NewEncoder(os.Stdout)
	s.begin(ctx)
	s.cold(ctx)
	_ = stdout.Encode(s.reported())

	_, _ = bufio.NewReader(os.Stdin).ReadString('\n')
	close(s.goOn)
	s.calls.Wait()
	for s.pool.Stat().AcquiredConns() > 0 && ctx.Err() == nil { // a replay ends its transaction later
		<-time.After(tick)
	}
	r := s.reported()
	s.pool.Close()
	if err := goleak.Find(before); err != nil {
		r.Leak = err.Error()
	}
	_ = stdout.Encode(r)
	return 0
}

// storm is a child at work.
type storm struct {
	task
	*process
	usage *usage.Tracer
	goOn  chan struct{}
	calls sync.WaitGroup

	mu sync.Mutex
	r  report
}

func (s *storm) reported() report {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.r
	r.Hot.Taken, r.Hot.Most = s.usage.Used(hotKey)
	r.Page.Taken, r.Page.Most = s.usage.Used(hotPage)
	p := s.pool.Stat()
	r.Acquired, r.Canceled, r.New = p.AcquiredConns(), p.CanceledAcquireCount(), p.NewConnsCount()
	return r
}

// begin sends the callers of the hot keys, and returns when all are under way, the
// first of them with a connection, the handlers run that are to hold a key, and those
// that refuse to wait have been refused, but those that may have a key.
func (s *storm) begin(ctx context.Context) {
	refusing := 0
	page := func(w http.ResponseWriter, r *http.Request) {
		s.runs()
		s.reply(w, r, r.URL.Path)
		s.held(r.Context())
	}
	waiting, refused := s.protected(idemtx.Wait, page), s.protected(idemtx.Refuse, page)
	for _, m := range modes {
		for i := range s.Callers[m.name] {
			r := request(hotKey)
			if m.name != idemtx.ModeDoTx && i%2 == 1 {
				r.OnDuplicate = idemtx.Refuse
				refusing++
			}
			s.calls.Go(func() { s.call(usage.For(ctx, hotKey), m, r) })
		}
	}
	for i := range s.Pages {
		handler := waiting
		if i%10 == 1 {
			handler = refused
			refusing++
		}
		s.calls.Go(func() { s.visit(usage.For(ctx, hotPage), handler) })
	}
	// In DoTx only who has a connection has begun.
	all := s.Callers[idemtx.ModeDo] + s.Callers[idemtx.ModeDoPool] + s.Pages + min(s.Callers[idemtx.ModeDoTx], int(s.MaxConns))
	for ctx.Err() == nil {
		r := s.reported()
		if s.usage.Begun() >= all && r.Hot.Taken > 0 && r.Ran >= s.Holds && r.InFlight >= refusing-2 {
			return
		}
		<-time.After(tick)
	}
	s.failed(ctx.Err())
}

// call is one of the hot key's.
func (s *storm) call(ctx context.Context, m mode, r idemtx.Request) {
	reply, err := m.do(ctx, s.process, r, func(ctx context.Context, db querier) (order, error) {
		s.runs()
		o, err := effect(ctx, db, s.Schema, hotKey)
		s.held(ctx)
		return o, err
	})
	switch {
	case errors.Is(err, idemtx.ErrInFlight):
		s.inFlight()
	case err != nil:
		s.failed(err)
	default:
		s.got(hotKey + " " + strconv.FormatInt(reply.Value.Number, 10))
	}
}

// visit is a request to the hot page.
func (s *storm) visit(ctx context.Context, handler http.Handler) {
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, post(ctx, hotPage, hotPage))
	switch w.Code {
	case http.StatusConflict:
		s.inFlight()
	case http.StatusOK:
		s.got(hotPage + " " + w.Body.String())
	default:
		s.failed(fmt.Errorf("a page has status %d", w.Code))
	}
}

// held keeps a handler of a hot key from returning until the storm may end.
func (s *storm) held(ctx context.Context) {
	select {
	case <-s.goOn:
	case <-ctx.Done():
	}
}

// cold makes calls of other keys, one way in after the other, and waits until they have
// ended. Those of DoPool do not come at once: a save has two seconds, which are not for
// waiting in a queue.
func (s *storm) cold(ctx context.Context) {
	for _, m := range modes {
		var calls sync.WaitGroup
		for i := range s.Cold {
			if calls.Go(func() { s.once(ctx, m, i) }); m.name == idemtx.ModeDoPool {
				calls.Wait()
			}
		}
		calls.Wait()
	}
}

// once calls with a cold key.
func (s *storm) once(ctx context.Context, m mode, i int) {
	key := fmt.Sprint("cold ", s.Application, m.name, i)
	_, err := m.do(ctx, s.process, request(key), func(ctx context.Context, db querier) (order, error) {
		return effect(ctx, db, s.Schema, key)
	})
	if err != nil {
		s.failed(err)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.r.Cold++
}

func (s *storm) runs() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.r.Ran++
}

func (s *storm) inFlight() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.r.InFlight++
}

func (s *storm) got(reply string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.r.Replies == nil {
		s.r.Replies = make(map[string]int)
	}
	s.r.Replies[reply]++
}

func (s *storm) failed(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.r.Errors = append(s.r.Errors, err.Error())
}
