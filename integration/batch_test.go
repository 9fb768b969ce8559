package integration

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemtx"
)

// ordering is the work of an order as a batch. Its last statement is the one that
// makes it.
func (f *fixture) ordering(key string, before ...string) *pgx.Batch {
	b := &pgx.Batch{}
	for _, sql := range before {
		b.Queue(sql)
	}
	b.Queue("INSERT INTO "+f.schema+".effects (key) VALUES ($1) RETURNING id AS number", key)
	return b
}

// making makes an order of a key, as a statement of a work.
func (f *fixture) making(key string) string {
	return "INSERT INTO " + f.schema + ".effects (key) VALUES ('" + key + "')"
}

// returning is an order that is made up, as the last statement of a work.
const returning = "SELECT 7 AS number"

func batchOf(statements ...string) *pgx.Batch {
	b := &pgx.Batch{}
	for _, sql := range statements {
		b.Queue(sql)
	}
	return b
}

// runs counts the orders that were made or tried, of all keys: nothing undoes what
// a sequence has counted.
func (f *fixture) runs() int {
	f.t.Helper()
	return ask[int](f.t, "SELECT coalesce(pg_sequence_last_value($1::regclass), 0)", f.schema+".effects_id_seq")
}

// batch calls DoBatch.
func (f *fixture) batch(ctx context.Context, r idemtx.Request, work *pgx.Batch) (idemtx.Reply[order], error) {
	return idemtx.DoBatch[order](ctx, f.store, r, work)
}

// launchBatch calls DoBatch in another goroutine.
func launchBatch(ctx context.Context, f *fixture, r idemtx.Request, work *pgx.Batch) *ongoing {
	p := &ongoing{done: make(chan struct{})}
	go func() {
		defer close(p.done)
		p.reply, p.err = f.batch(ctx, r, work)
	}()
	return p
}

// gate is a statement that waits until the gate of gated is open.
func (f *fixture) gate() string {
	return "SELECT pg_catalog.pg_advisory_xact_lock_shared(hashtext('" + f.schema + "'))"
}

// declining makes a function that raises the SQLSTATE it is given.
func declining(f *fixture) (decline func(code string) string) {
	f.t.Helper()
	exec(f.t, `CREATE FUNCTION `+f.schema+`.decline(code text) RETURNS bigint LANGUAGE plpgsql AS $$
		BEGIN RAISE EXCEPTION 'declined' USING ERRCODE = code; END $$`)
	return func(code string) string { return "SELECT " + f.schema + ".decline('" + code + "') AS number" }
}

// batchContract is what DoBatch promises in all exec modes: that of Do.
var batchContract = map[string]func(t *testing.T, via option){
	"RunsOnceAndReplays":             batchRunsOnceAndReplays,
	"ReplaysInEveryMode":             batchReplaysInEveryMode,
	"RefusesAnotherRequest":          batchRefusesAnotherRequest,
	"KeepsScopesApart":               batchKeepsScopesApart,
	"ExpiredKeyRunsAgain":            batchExpiredKeyRunsAgain,
	"ExpiredKeyIsRefused":            batchExpiredKeyIsRefused,
	"ForgetsAfterAnError":            batchForgetsAfterAnError,
	"ForgetsAfterAViolation":         batchForgetsAfterAViolation,
	"ForgetsAfterAMistake":           batchForgetsAfterAMistake,
	"ReplyThatCannotBeStored":        batchReplyThatCannotBeStored,
	"StoredReplyThatDoesNotDecode":   batchStoredReplyThatDoesNotDecode,
	"SwallowedReplyUndoesTheWork":    batchSwallowedReplyUndoesTheWork,
	"RunsOnceUnderRace":              batchRunsOnceUnderRace,
	"WaiterOwnsWhatFailed":           batchWaiterOwnsWhatFailed,
	"WaitsNoLongerThanMaxWait":       batchWaitsNoLongerThanMaxWait,
	"CancelledBeforehandRunsNothing": batchCancelledBeforehandRunsNothing,
	"WorkIsNotChanged":               batchWorkIsNotChanged,
	"WorkWithNamedArguments":         batchWorkWithNamedArguments,
	"WorkThatEndsItsTransaction":     batchWorkThatEndsItsTransaction,
	"TableMissing":                   batchTableMissing,
	"OneConnectionIsEnough":          batchOneConnectionIsEnough,
}

// pipelineContract is what it promises where it is a pipeline.
var pipelineContract = map[string]func(t *testing.T, via option){
	"CancelledWorkIsNotDoneTwice": batchCancelledWorkIsNotDoneTwice,
	"AnswerIsLost":                batchAnswerIsLost,
	"NeverArrives":                batchNeverArrives,
	"FirstReplyThatDoesNotDecode": batchFirstReplyThatDoesNotDecode,
	"RefusesWhileInFlight":        batchRefusesWhileInFlight,
	"WaitsForAClaim":              batchWaitsForAClaim,
}

func TestBatchPipelineContract(t *testing.T) {
	t.Parallel()
	inExecModes(t, pipelining, func(t *testing.T, via option) {
		t.Helper()
		for name, promise := range pipelineContract {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				promise(t, via)
			})
		}
	})
}

func TestBatchContract(t *testing.T) {
	t.Parallel()
	inEveryExecMode(t, func(t *testing.T, via option) {
		t.Helper()
		for name, promise := range batchContract {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				promise(t, via)
			})
		}
	})
}

func inEveryExecMode(t *testing.T, test func(t *testing.T, via option)) {
	t.Helper()
	inExecModes(t, execModes, test)
}

// pipelining are the exec modes in which a DoBatch is a pipeline.
var pipelining = execModes[:4]

func inExecModes(t *testing.T, modes []pgx.QueryExecMode, test func(t *testing.T, via option)) {
	t.Helper()
	for _, exec := range modes {
		t.Run(exec.String(), func(t *testing.T) {
			t.Parallel()
			test(t, withExecMode(exec))
		})
	}
}

// requireForgotten requires that nothing is left of a key's request, and that the
// next one is a first.
func (f *fixture) requireForgotten(key string) {
	f.t.Helper()
	f.idle()
	require.Zero(f.t, f.effects(key)+f.rows(key))
	reply, err := f.batch(f.t.Context(), f.request(key), f.ordering(key))
	require.NoError(f.t, err)
	require.False(f.t, reply.Replayed)
	requireOnce(f, key, reply)
}
