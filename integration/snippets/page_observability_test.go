package snippets

import (
	"bytes"
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strconv"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemhttp"
	"github.com/idemtx/idemtx/idemotel"
	"github.com/idemtx/idemtx/idemtx"
	"github.com/idemtx/idemtx/idemui"
	"github.com/idemtx/idemtx/scope"
)

func newTracedStore(pool *pgxpool.Pool) (*idemtx.Store, error) {
	tracer, err := idemotel.New(idemotel.Config{}) // the global providers
	if err != nil {
		return nil, err
	}
	return idemtx.New(pool, idemtx.Config{Tracer: tracer})
}

func newWatchedStore(pool *pgxpool.Pool, tracer *idemotel.Tracer) (*idemtx.Store, *idemui.Recorder, error) {
	recorder := &idemui.Recorder{Next: tracer}
	store, err := idemtx.New(pool, idemtx.Config{Tracer: recorder})
	return store, recorder, err
}

type slowCalls struct{ logger *slog.Logger }

func (slowCalls) TraceStart(ctx context.Context, _ idemtx.TraceStartData) context.Context { return ctx }

func (s slowCalls) TraceEnd(ctx context.Context, data idemtx.TraceEndData) {
	if data.Waited > time.Second || data.Handler > time.Second || data.Outcome == idemtx.OutcomeUnknown {
		s.logger.LogAttrs(ctx, slog.LevelWarn, "slow call", slog.String("outcome", string(data.Outcome)),
			slog.Duration("waited", data.Waited), slog.Duration("handler", data.Handler), slog.Int("attempts", data.Attempts))
	}
}

func TestObservabilityTracers(t *testing.T) {
	t.Parallel()
	pool := newPool(t)
	traced, err := newTracedStore(pool)
	require.NoError(t, err)
	require.NoError(t, traced.CreateSchema(t.Context()))
	tracer, err := idemotel.New(idemotel.Config{})
	require.NoError(t, err)
	watched, _, err := newWatchedStore(pool, tracer)
	require.NoError(t, err)
	for i, store := range []*idemtx.Store{traced, watched} {
		reply, err := idemtx.Do(t.Context(), store, request("order", "k", 1), lamp)
		require.NoError(t, err)
		require.Equal(t, i == 1, reply.Replayed)
	}
}

func TestObservabilitySlowCalls(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	var tracer idemtx.Tracer = slowCalls{slog.New(slog.NewTextHandler(&log, nil))}
	tracer.TraceEnd(t.Context(), idemtx.TraceEndData{Outcome: idemtx.OutcomeFirst, Handler: time.Millisecond})
	require.Empty(t, log.String())
	tracer.TraceEnd(t.Context(), idemtx.TraceEndData{Outcome: idemtx.OutcomeUnknown})
	require.Contains(t, log.String(), "outcome=unknown")
}

// outcomes are a tracer.
type outcomes []idemtx.Outcome

func (*outcomes) TraceStart(ctx context.Context, _ idemtx.TraceStartData) context.Context { return ctx }

func (o *outcomes) TraceEnd(_ context.Context, data idemtx.TraceEndData) {
	*o = append(*o, data.Outcome)
}

// What becomes of the replies of HTTP handlers is an outcome, too.
func TestObservabilityOutcomesOfHTTP(t *testing.T) {
	t.Parallel()
	seen := &outcomes{}
	store := newStore(t, idemtx.Config{Tracer: seen})
	config := idemhttp.Config{Scope: func(*http.Request) (scope.Scope, error) { return whose, nil }}
	config.Policy.Decide = func(status int, header http.Header) idemhttp.Decision {
		if status == http.StatusPaymentRequired {
			return idemhttp.Keep
		}
		return idemhttp.IETF.Decide(status, header)
	}
	for _, status := range []int{http.StatusCreated, http.StatusConflict, http.StatusPaymentRequired} {
		handler := idemhttp.Middleware(store, config)(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
		}))
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", nil)
		r.Header.Set("Idempotency-Key", "k"+strconv.Itoa(status))
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		require.Equal(t, status, w.Code)
	}
	require.Equal(t, outcomes{idemtx.OutcomeFirst, idemtx.OutcomeFailed, idemtx.OutcomeRefused}, *seen)
}

// The page names every outcome.
func TestObservabilityOutcomes(t *testing.T) {
	t.Parallel()
	page := read(t, "docs/observability.md")
	for _, outcome := range []idemtx.Outcome{
		idemtx.OutcomeFirst, idemtx.OutcomeReplayed, idemtx.OutcomeRefused, idemtx.OutcomeMismatch,
		idemtx.OutcomeInFlight, idemtx.OutcomeExpired, idemtx.OutcomeUnknown, idemtx.OutcomeFailed,
	} {
		require.Contains(t, page, "\n| `"+string(outcome)+"` |")
	}
}
