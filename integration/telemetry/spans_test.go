package telemetry

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/idemtx/idemtx/idemtx"
)

// tree is the spans that have ended, by their ids.
type tree map[trace.SpanID]tracetest.SpanStub

func (f *fixture) tree() tree {
	spans := make(tree)
	for _, s := range f.spans.GetSpans() {
		spans[s.SpanContext.SpanID()] = s
	}
	return spans
}

// path is the names of a span and of those above it, the topmost first.
func (tr tree) path(s tracetest.SpanStub) (names []string) {
	for {
		names = append(names, s.Name)
		parent, ok := tr[s.Parent.SpanID()]
		if !ok {
			slices.Reverse(names)
			return names
		}
		s = parent
	}
}

// Caller, call, statements: whatever is traced of the call and of its handler is under
// the span of the call, which is under the caller's. Nothing is in a trace of its own.
func TestTheSpansOfStatementsAreUnderTheCalls(t *testing.T) {
	t.Parallel()
	for _, w := range ways {
		t.Run(string(w.mode), func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			ctx, caller := f.provider.Tracer("service").Start(t.Context(), "caller")
			require.NoError(t, w.do(ctx, f, request("k"), works))
			caller.End()
			tree := f.tree()
			name := "idemtx." + string(w.mode)
			statements := make(map[string]bool)
			for _, s := range tree {
				require.Equal(t, caller.SpanContext().TraceID(), s.SpanContext.TraceID(), s.Name)
				path := tree.path(s)
				require.Equal(t, "caller", path[0], path)
				text := values(s.Attributes)["db.query.text"]
				switch {
				case s.Name == "caller":
				case s.Name == name:
					require.Equal(t, []string{"caller", name}, path)
				case w.mode != idemtx.ModeDoTx || !ofTheCaller(path, text):
					require.Equal(t, name, path[1], "%v %s", path, text)
				}
				if len(path) > 1 && path[1] == name {
					statements[text] = true
				}
			}
			require.Len(t, f.calls(), 1)
			require.True(t, among(statements, "effects"), "the handler's")
			require.True(t, among(statements, "pg_try_advisory_xact_lock"), "the question for the key")
			require.True(t, among(statements, "idemtx_replies"), "the reply's")
			if w.mode == idemtx.ModeDoPool {
				require.True(t, among(statements, "UPDATE \""+f.schema), "the saving of the reply")
			}
		})
	}
}

// What a failed call undoes is under it, too.
func TestTheSpansOfWhatIsUndoneAreUnderTheCalls(t *testing.T) {
	t.Parallel()
	for _, w := range ways {
		t.Run(string(w.mode), func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			ctx, caller := f.provider.Tracer("service").Start(t.Context(), "caller")
			require.Error(t, w.do(ctx, f, request("k"), func(context.Context) error { return errBroken }))
			caller.End()
			tree := f.tree()
			undone := slices.ContainsFunc(slices.Collect(maps.Values(tree)), func(s tracetest.SpanStub) bool {
				text, path := values(s.Attributes)["db.query.text"], tree.path(s)
				undoes := strings.HasPrefix(text, "rollback") || strings.Contains(text, "DELETE") // of a claim
				return undoes && len(path) > 1 && path[1] == "idemtx."+string(w.mode)
			})
			require.True(t, undone)
		})
	}
}

// ofTheCaller tells the statements of a DoTx that are the caller's own, and the
// connection that it takes.
func ofTheCaller(path []string, text string) bool {
	return text == "begin" || text == "commit" || strings.HasPrefix(path[1], "pool.") || path[1] == "connect"
}

func among(statements map[string]bool, part string) bool {
	for text := range statements {
		if strings.Contains(text, part) {
			return true
		}
	}
	return false
}

// A call within a call, with a key of its own, is a span within a span.
func TestACallWithinACallIsUnderIt(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	require.NoError(t, ways[0].do(t.Context(), f, request("outer"), func(ctx context.Context) error {
		return ways[2].do(ctx, f, request("inner"), works)
	}))
	tree := f.tree()
	for _, s := range f.calls() {
		want := []string{"idemtx.Do"}
		if s.Name == "idemtx.DoPool" {
			want = append(want, s.Name)
		}
		require.Equal(t, want, tree.path(s))
	}
	require.Len(t, f.calls(), 2)
	require.EqualValues(t, 1, f.count("idemtx.calls", "idemtx.mode", "DoPool", "idemtx.outcome", "first"))
	require.EqualValues(t, 1, f.count("idemtx.calls", "idemtx.mode", "Do", "idemtx.outcome", "first"))
}

// A handler's error may hold anything, and so may one of PostgreSQL's.
func TestASpanHoldsNoSecret(t *testing.T) {
	t.Parallel()
	for _, w := range ways {
		t.Run(string(w.mode), func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			r := secretRequest(t)
			require.Error(t, w.do(t.Context(), f, r, func(context.Context) error { return errors.New(mark) }))
			require.NoError(t, w.do(t.Context(), f, r, works))
			require.NoError(t, w.do(t.Context(), f, r, works))
			f.exec(tells)
			r.Key += "-told"
			require.Error(t, w.do(t.Context(), f, r, works))
			calls := f.calls()
			require.Len(t, calls, 4)
			require.Equal(t, codes.Error, calls[0].Status.Code)
			for _, s := range calls {
				require.Empty(t, s.Events)
				for key, value := range values(s.Attributes) {
					requireNoSecret(t, key+"="+value)
				}
				requireNoSecret(t, s.Name+s.Status.Description)
				require.Equal(t, r.Scope.LogID(), values(s.Attributes)["idemtx.scope"])
			}
			for _, name := range []string{"idemtx.calls", "idemtx.call.duration", "idemtx.attempts", "idemtx.active_calls"} {
				for _, s := range f.all(name) {
					for key, value := range s.labels {
						requireNoSecret(t, key+"="+value)
						require.NotContains(t, value, r.Scope.LogID())
						require.NotContains(t, value, r.Operation)
					}
				}
			}
		})
	}
}
