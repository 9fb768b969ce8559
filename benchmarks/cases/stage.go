package cases

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/idemtx/idemtx/benchmarks/contender"
	"github.com/idemtx/idemtx/benchmarks/measure"
)

// stage is a contender that is ready to serve, in a schema of its own.
type stage struct {
	contender.Contender

	bench   *Bench
	env     contender.Env
	payload []byte
	handle  contender.Handle
	close   func()
	keys    []string // that were answered
}

var (
	errReplayed = errors.New("a first request was answered as a replay")
	errRepeated = errors.New("a known request was not answered as a replay")
)

// environment makes a schema for a contender.
func (b *Bench) environment(ctx context.Context, latency time.Duration, reply int) (contender.Env, error) {
	url, err := b.Server(latency)
	if err != nil {
		return contender.Env{}, err
	}
	b.schemas++
	e := contender.Env{URL: url, MaxConns: b.Conns, Schema: fmt.Sprintf("idemtx_bench_%d", b.schemas), Reply: object(reply)}
	_ = b.exec(ctx, "DROP SCHEMA IF EXISTS "+e.Schema+" CASCADE")
	err = b.exec(ctx, "CREATE SCHEMA "+e.Schema)
	if err == nil {
		err = b.exec(ctx, "CREATE TABLE "+e.Schema+".effects (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, key text NOT NULL)")
	}
	return e, err
}

func (b *Bench) open(ctx context.Context, c contender.Contender, s Setting) (*stage, error) {
	e, err := b.environment(ctx, s.Latency, s.Reply)
	if err != nil {
		return nil, err
	}
	handle, done, err := c.Open(ctx, e)
	if err != nil {
		return nil, errors.Join(err, b.remove(e))
	}
	return &stage{Contender: c, bench: b, env: e, payload: object(200), handle: handle, close: done}, nil
}

// end is also for a case that was interrupted.
func (s *stage) end() {
	s.close()
	if err := s.bench.remove(s.env); err != nil {
		s.bench.Log("%v", err)
	}
}

func (b *Bench) remove(e contender.Env) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	return b.exec(ctx, "DROP SCHEMA "+e.Schema+" CASCADE")
}

// ask sends a request and makes sure that it was answered as what it is.
func (s *stage) ask(ctx context.Context, o contender.Operation, key string) error {
	reply, replayed, err := s.handle(ctx, contender.Request{Key: key, Payload: s.payload})
	switch {
	case err != nil:
		return err
	case replayed && o == contender.First:
		return errReplayed
	case !replayed && o == contender.Replay:
		return errRepeated
	case len(reply) < len(s.env.Reply):
		return fmt.Errorf("the reply has %d bytes only", len(reply))
	}
	return nil
}

// seed answers so many requests, to be repeated.
func (s *stage) seed(ctx context.Context, n int) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(8)
	for range n {
		key := unused()
		s.keys = append(s.keys, key)
		group.Go(func() error { return s.ask(ctx, contender.First, key) })
	}
	if err := group.Wait(); err != nil {
		return fmt.Errorf("the requests to repeat: %w", err)
	}
	return nil
}

// key is that of a new request, or of one that was answered.
func (s *stage) key(o contender.Operation) string {
	if o == contender.Replay {
		return s.keys[mathrand.IntN(len(s.keys))]
	}
	return unused()
}

// unused is a key like those that tables are filled with, so that its place in their
// indexes is anywhere.
func unused() string {
	var key [16]byte
	_, _ = rand.Read(key[:])
	return hex.EncodeToString(key[:])
}

// once is one request of a kind.
func (s *stage) once(o contender.Operation) func(context.Context, *measure.Recorder) {
	return func(ctx context.Context, r *measure.Recorder) {
		key := s.key(o)
		r.Time(func() error { return s.ask(ctx, o, key) })
	}
}

// entrant takes turns of what clients do.
func (s *stage) entrant(name, base string, clients int, turn func(context.Context, *measure.Recorder)) measure.Entrant {
	return measure.Entrant{
		Name: name, Base: base, Kind: string(s.Kind),
		Slice: func(ctx context.Context, d time.Duration) measure.Slice {
			return measure.Run(ctx, d, clients, turn)
		},
	}
}

// object is a JSON object of n bytes that does not compress well.
func object(n int) []byte {
	const around = `{"text":""}`
	var text strings.Builder
	for text.Len() < n-len(around) {
		text.WriteString(rand.Text())
	}
	return []byte(`{"text":"` + text.String()[:max(0, n-len(around))] + `"}`)
}
