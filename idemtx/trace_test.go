package idemtx

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/scope"
)

func TestEachEndHasOneOutcome(t *testing.T) {
	t.Parallel()
	failed := errors.New("broken")
	for _, c := range []struct {
		replayed, refused bool
		err               error
		outcome           Outcome
	}{
		{false, false, nil, OutcomeFirst},
		{true, false, nil, OutcomeReplayed},
		{true, true, nil, OutcomeReplayed},
		{false, true, nil, OutcomeRefused},
		{false, false, ErrMismatch, OutcomeMismatch},
		{false, false, ErrInFlight, OutcomeInFlight},
		{false, false, &InFlightError{}, OutcomeInFlight},
		{false, false, ErrExpired, OutcomeExpired},
		{false, false, ErrOutcomeUnknown, OutcomeUnknown},
		{false, true, ErrOutcomeUnknown, OutcomeUnknown}, // DoPool returns the reply beside it
		{false, false, fmt.Errorf("%w: the answer to COMMIT was lost: %w", ErrOutcomeUnknown, failed), OutcomeUnknown},
		{false, false, failed, OutcomeFailed},
		{false, false, ErrInvalidRequest, OutcomeFailed},
		{false, false, ErrReplyNotStorable, OutcomeFailed},
		{false, false, ErrTxMisuse, OutcomeFailed},
		{false, false, ErrRefused, OutcomeFailed}, // never comes out of a call
		{false, false, &SchemaError{}, OutcomeFailed},
		{false, false, context.Canceled, OutcomeFailed},
	} {
		require.Equal(t, c.outcome, outcomeOf(c.replayed, c.refused, c.err), "%+v", c)
		if c.err != nil {
			require.Equal(t, c.outcome, outcomeOf(c.replayed, c.refused, fmt.Errorf("x: %w", c.err)), "%+v", c)
		}
	}
}

type traceKey struct{}

// recorder is a tracer that writes down what it is told.
type recorder struct {
	starts []TraceStartData
	ends   []TraceEndData
	marked []any // what TraceEnd finds in its context
}

func (r *recorder) TraceStart(ctx context.Context, data TraceStartData) context.Context {
	r.starts = append(r.starts, data)
	return context.WithValue(ctx, traceKey{}, "marked")
}

func (r *recorder) TraceEnd(ctx context.Context, data TraceEndData) {
	r.ends = append(r.ends, data)
	r.marked = append(r.marked, ctx.Value(traceKey{}))
}

func TestATracerIsToldOfACallThatIsRefused(t *testing.T) {
	t.Parallel()
	alice, err := scope.New("acme", "alice")
	require.NoError(t, err)
	r := new(recorder)
	store := unconnected(t, Config{Tracer: r})
	_, err = DoTx(t.Context(), store, nil, Request{Scope: alice, Operation: "POST /orders", Key: secret}, unreached)
	require.ErrorIs(t, err, ErrInvalidRequest)

	require.Equal(t, []TraceStartData{{Mode: ModeDoTx, Scope: alice, Operation: "POST /orders", Key: secret[:8]}}, r.starts)
	require.Equal(t, []TraceEndData{{Outcome: OutcomeFailed, Err: err}}, r.ends)
	require.Equal(t, []any{"marked"}, r.marked)
	require.NotContains(t, fmt.Sprintf("%+v %+v", r.starts, r.ends), secret)
	require.NotContains(t, fmt.Sprintf("%+v", r.starts), "alice")
}

func TestATracerIsToldNoShortKeyAndNoneUnderASecret(t *testing.T) {
	t.Parallel()
	r := new(recorder)
	plain := unconnected(t, Config{Tracer: r})
	keyed := unconnected(t, Config{Tracer: r, KeySecret: make(Secret, minSecret)})
	for key, store := range map[string]*Store{"12345678": plain, "": plain, secret: keyed} {
		_, err := DoTx(t.Context(), store, nil, Request{Key: key}, unreached)
		require.ErrorIs(t, err, ErrInvalidRequest)
		require.Equal(t, "****", r.starts[len(r.starts)-1].Key)
	}
}

func unreached(context.Context, pgx.Tx) (int, error) { panic("the handler ran") }

func TestATracerIsToldOfAPanic(t *testing.T) {
	t.Parallel()
	alice, err := scope.New("acme", "alice")
	require.NoError(t, err)
	r := new(recorder)
	store := unconnected(t, Config{Tracer: r})
	require.PanicsWithValue(t, "broken", func() {
		_, _ = answer[int](t.Context(), store, ModeDo, Request{Scope: alice, Key: "k"}, func(ctx context.Context, c *call) (result, error) {
			require.Equal(t, "marked", ctx.Value(traceKey{}))
			c.runs, c.waited = 2, 7
			panic("broken")
		})
	})
	require.Equal(t, []TraceEndData{{Outcome: OutcomeFailed, Attempts: 2, Waited: 7}}, r.ends)
}

func TestATracerIsToldWhatTheCallerGets(t *testing.T) {
	t.Parallel()
	alice, err := scope.New("acme", "alice")
	require.NoError(t, err)
	request := Request{Scope: alice, Key: "k"}
	for outcome, res := range map[Outcome]result{
		OutcomeFirst:    {row: &row{Response: []byte("1")}},
		OutcomeReplayed: {row: &row{Response: []byte("1")}, replayed: true},
		OutcomeRefused:  {row: &row{Response: []byte("1"), Refused: true}},
		OutcomeFailed:   {row: &row{Response: []byte(`"of another type"`)}, replayed: true},
	} {
		r := new(recorder)
		_, err := answer[int](t.Context(), unconnected(t, Config{Tracer: r}), ModeDo, request, func(context.Context, *call) (result, error) {
			return res, nil
		})
		require.Equal(t, []TraceEndData{{Outcome: outcome, Err: err}}, r.ends)
		require.Equal(t, outcome == OutcomeFailed, err != nil)
	}
}

func TestAReplyMayComeWithItsOutcomeUnknown(t *testing.T) {
	t.Parallel()
	alice, err := scope.New("acme", "alice")
	require.NoError(t, err)
	got, err := answer[int](t.Context(), unconnected(t, Config{}), ModeDoPool, Request{Scope: alice, Key: "k"},
		func(context.Context, *call) (result, error) {
			return result{row: &row{Response: []byte("7")}}, ErrOutcomeUnknown
		})
	require.ErrorIs(t, err, ErrOutcomeUnknown)
	require.Equal(t, 7, got.Value)
}

func TestAKeyIsNotLogged(t *testing.T) {
	t.Parallel()
	for key, logged := range map[string]string{"": "****", "k": "****", "12345678": "****", "123456789": "12345678", secret: secret[:8]} {
		require.Equal(t, logged, redacted(key))
	}
}
