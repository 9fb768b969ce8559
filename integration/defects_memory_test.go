package integration

import (
	"bytes"
	"context"
	"encoding/json"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemtx"
)

// aliased is a reply whose encoder hands out its own memory.
type aliased struct{ response, body []byte }

func (a aliased) MarshalReply() (json.RawMessage, []byte, error) { return a.response, a.body, nil }

func (a *aliased) UnmarshalReply(response json.RawMessage, body []byte) error {
	a.response, a.body = bytes.Clone(response), bytes.Clone(body)
	return nil
}

// started counts the calls that have begun.
type started struct{ atomic.Int64 }

func (s *started) TraceStart(ctx context.Context, _ idemtx.TraceStartData) context.Context {
	s.Add(1)
	return ctx
}
func (s *started) TraceEnd(context.Context, idemtx.TraceEndData) {}

// A reply that shares memory with what is stored, or with another caller's, is
// changed by whoever changes his own.
func TestDefectSharedReply(t *testing.T) {
	t.Parallel()
	for _, m := range modes {
		t.Run(string(m.name), func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			mine := map[string][]string{"lines": {"lamp"}}
			for i := range 3 {
				reply, err := answerWith(t.Context(), m, f, "k", mine)
				require.NoError(t, err)
				require.Equal(t, i > 0, reply.Replayed)
				require.Equal(t, map[string][]string{"lines": {"lamp"}}, reply.Value)
				mine["lines"][0] = "changed by the handler"
				reply.Value["lines"][0] = "changed by the caller"
			}
			first, err := f.store.Get(t.Context(), f.scope, "k")
			require.NoError(t, err)
			clear(first.Response)
			second, err := f.store.Get(t.Context(), f.scope, "k")
			require.NoError(t, err)
			require.JSONEq(t, `{"lines":["lamp"]}`, string(second.Response))
		})
	}
}

// The callers of one key in one process get the answer of the one that ran
// without asking the database. What that one does to its reply, or to the memory
// it was made of, must not reach them.
func TestDefectSharedReplyInTheQueue(t *testing.T) {
	t.Parallel()
	for _, m := range []mode{modes[0], modes[2]} {
		t.Run(string(m.name), func(t *testing.T) {
			t.Parallel()
			var calls started
			f := newFixture(t, withConfig(func(c *idemtx.Config) { c.Tracer = &calls }))
			call := func(fn func() aliased) (idemtx.Reply[aliased], error) {
				if m.name == idemtx.ModeDo {
					return idemtx.Do(t.Context(), f.store, f.request("k"),
						func(context.Context, pgx.Tx) (aliased, error) { return fn(), nil })
				}
				return idemtx.DoPool(t.Context(), f.store, f.request("k"), func(context.Context) (aliased, error) { return fn(), nil })
			}
			memory := aliased{[]byte(`"lamp"`), []byte("body")}
			running, goOn := make(chan struct{}), make(chan struct{})
			replies := make(chan idemtx.Reply[aliased], 20)
			go func() {
				reply, err := call(func() aliased {
					close(running)
					<-goOn
					return memory
				})
				if err != nil {
					t.Error(err)
				}
				copy(memory.response, `"oops"`)
				copy(memory.body, "oops")
				replies <- reply
			}()
			<-running
			for range cap(replies) - 1 {
				go func() {
					reply, err := call(func() aliased {
						t.Error("the handler ran")
						return aliased{}
					})
					if err != nil {
						t.Error(err)
					}
					replies <- reply
				}()
			}
			require.Eventually(t, func() bool { return calls.Load() == int64(cap(replies)) }, time.Minute, time.Millisecond)
			close(goOn)
			for range cap(replies) {
				reply := <-replies
				require.Equal(t, `"lamp"`, string(reply.Value.response))
				require.Equal(t, "body", string(reply.Value.body))
				clear(reply.Value.response)
				clear(reply.Value.body)
			}
		})
	}
}
