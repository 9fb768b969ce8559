// Package idemotel makes OpenTelemetry metrics and spans of what idemtx does. Its
// [Tracer] goes into [idemtx.Config.Tracer]. It has no goroutine and nothing to close.
//
// # Spans
//
// Each call of Do, DoBatch, DoTx and DoPool is a span of kind internal, named after
// its function, such as "idemtx.Do", under the span of its caller. The spans of the
// handler are under it, and so are those of its statements when the pool has a
// tracer, such as that of github.com/exaring/otelpgx. That one shows an error in a
// DoBatch that finds its key used: this is how the pipeline is stopped, and the call's
// own span knows better. Its attributes:
//
//	idemtx.mode       the function's name
//	idemtx.operation  Request.Operation, at most 256 bytes of it
//	idemtx.scope      Scope.LogID, a hash
//	idemtx.outcome    as in the metrics
//	idemtx.attempts   how often the handler was called
//	idemtx.replayed   the reply was kept by an earlier call
//	idemtx.waited     for another request with the key, in seconds
//	idemtx.took_over  present and true when the lease of another call had ended
//	idemtx.settled    present when the answer to a COMMIT was lost
//	error.type        present when the status is Error
//
// The status is Error when the outcome is unknown or failed, and in no other case: a
// mismatch, a key in flight and an expired one are answers that clients have to expect.
// Failed includes whatever error the handler returns, and a request that is invalid.
//
// # Metrics
//
//	idemtx.calls              {call}      how many have ended
//	idemtx.active_calls       {call}      how many have not
//	idemtx.call.duration      s           of calls, from their beginning to their end
//	idemtx.handler.duration   s           of all runs of a call's handler, where it ran
//	idemtx.store.duration     s           of calls, less the handler and less the wait
//	idemtx.wait.duration      s           for another request with the key, where there was one
//	idemtx.attempts           {attempt}   runs of handlers
//	idemtx.retries            {retry}     those of them after the first of a call
//	idemtx.lost_commits       {commit}    calls that have lost the answer to a COMMIT
//	idemtx.takeovers          {takeover}  keys taken over from a call whose lease had ended
//	idemtx.sweeps             {sweep}     batches of the sweeper
//	idemtx.sweep.duration     s           of these batches
//	idemtx.sweep.rows         {row}       that they have dealt with
//
// The attributes of the first ten are idemtx.mode and, where the call has ended,
// idemtx.outcome: first, replayed, refused, mismatch, in_flight, expired, unknown or
// failed. In idemtx.calls and idemtx.call.duration the last two have an error.type.
// Of idemtx.lost_commits it is idemtx.settled instead of the outcome: committed,
// undone or unknown. Sweeps have an idemtx.sweep.outcome: done, skipped, which is left
// to another replica, or failed, which has an error.type. Rows have an
// idemtx.sweep.fate: deleted, or buried, which keeps the key and takes away the reply.
//
// The store's duration is what PostgreSQL, the pool and idemtx take. The pauses between
// two attempts and the search for what has become of a lost COMMIT are a part of it.
// docs/grafana.json is a dashboard of all these, by the names that they have in
// Prometheus.
//
// # What is in neither
//
// No key, no payload, no reply, no scope but its hash, and no text of an error that may
// be the handler's. Of an error there is its type: an error of idemtx by its name, such
// as "outcome_unknown", an error of PostgreSQL by its SQLSTATE, any other by the name of
// its Go type, or by what its method ErrorType returns, and "panic" where there is none
// because the handler did not return.
package idemotel
