package crash

import (
	"slices"
	"strings"

	"github.com/idemtx/idemtx/idemtx"
	"github.com/idemtx/idemtx/internal/pgwire"
)

// The moments of a trip. A server cannot be held at one that touches no table,
// nor at a COMMIT of nothing.
var (
	instant  = []moment{before, answered}
	lasting  = []moment{before, working, answered}
	commits  = []moment{before, committing, answered}
	complete = []moment{before, working, committing, answered}
	glances  = []moment{before, looking, answered}
	attempts = []moment{before, looking, working, answered}
	all      = []moment{before, looking, working, committing, answered}
)

// ways are the ways that a call of Do, DoBatch, DoTx and DoPool goes.
// TestTripsAreSteps sees to it that they leave out no trip.
var ways = []way{
	{mode: idemtx.ModeDo, steps: []step{
		{name: "BEGIN, lock and look", is: asks, moments: lasting, gate: reading, leaves: untouched},
		{name: "the handler's statement", is: works, moments: lasting, gate: effecting, leaves: untouched},
		{name: "reply and COMMIT", is: stores, moments: complete, gate: writing, leaves: done},
	}},
	{mode: idemtx.ModeDo, name: "the answer to COMMIT is lost", about: "The connection of the COMMIT has been lost before, with its answer, and something dies while Do asks what has become\nof it.", lost: stores, fate: pgwire.Swallow, steps: []step{
		{name: "BEGIN, lock and look", is: asks, leaves: untouched},
		{name: "the handler's statement", is: works, leaves: untouched},
		{name: "reply and COMMIT", is: stores, leaves: done},
		{name: "BEGIN, lock, look for the reply and COMMIT", is: inquires, moments: lasting, gate: reading, leaves: done},
	}},
	{mode: idemtx.ModeDo, name: "refused", about: "The handler returns ErrRefused. Its writes are undone, and its reply is kept in a transaction of its own.", ends: refusing, steps: []step{
		{name: "BEGIN, lock and look", is: asks, leaves: untouched},
		{name: "the handler's statement", is: works, leaves: untouched},
		{name: "ROLLBACK of the handler's writes", is: goesBack, moments: instant, leaves: untouched},
		{name: "BEGIN, lock, reply and COMMIT", is: stores, moments: complete, gate: writing, leaves: refusal},
	}},
	{mode: idemtx.ModeDo, name: "failed", about: "The handler returns an error of its own, after its write.", ends: failing, steps: []step{
		{name: "BEGIN, lock and look", is: asks, leaves: untouched},
		{name: "the handler's statement", is: works, leaves: untouched},
		{name: "ROLLBACK", is: only("rollback"), moments: instant, leaves: untouched},
	}},
	{mode: idemtx.ModeDo, name: "a retry", about: "The key is answered when the call comes. The retry in this table is the second one.", start: done, steps: []step{
		{name: "BEGIN, lock and look", is: asks, moments: lasting, gate: reading, leaves: done},
		{name: "ROLLBACK", is: only("rollback"), leaves: done},
	}},

	{mode: idemtx.ModeDoBatch, steps: []step{
		{name: pipelined, is: sends, moments: all, gate: effecting, leaves: done},
	}},
	{mode: idemtx.ModeDoBatch, name: "the answer is lost", about: "The connection of the pipeline has been lost before, with its answer, and something dies while DoBatch asks what has\nbecome of it.", lost: sends, fate: pgwire.Swallow, steps: []step{
		{name: pipelined, is: sends, leaves: done},
		{name: "BEGIN, lock, look for the reply and COMMIT", is: seeks, moments: lasting, gate: reading, leaves: done},
	}},
	{mode: idemtx.ModeDoBatch, name: "the pipeline is lost", about: "The connection of the pipeline has been lost before, on the way to the server. DoBatch asks what has become of it, and\ngoes on as Do would.", lost: sends, fate: pgwire.Drop, steps: []step{
		{name: pipelined, is: sends, leaves: untouched},
		{name: "BEGIN, lock, look for the reply and COMMIT", is: seeks, moments: lasting, gate: reading, leaves: untouched},
		{name: "BEGIN, lock and look", is: asks, leaves: untouched},
		{name: "the work", is: works, moments: lasting, gate: effecting, leaves: untouched},
		{name: "reply and COMMIT", is: stores, moments: complete, gate: writing, leaves: done},
	}},
	{mode: idemtx.ModeDoBatch, name: "an expired key", about: "The key was used so long ago that it is free again. The pipeline ends at the row that is there, and DoBatch goes on as Do\nwould.", start: expired, steps: []step{
		{name: pipelined, is: sends, moments: glances, leaves: expired},
		{name: "ROLLBACK", is: only("rollback"), moments: instant, leaves: expired},
		{name: "BEGIN, lock and look", is: asks, leaves: expired},
		{name: "the work", is: works, leaves: expired},
		{name: "reply and COMMIT", is: stores, moments: complete, gate: writing, leaves: done},
	}},
	{mode: idemtx.ModeDoBatch, name: "failed", about: "A statement of the work fails, after its write.", ends: failing, steps: []step{
		{name: pipelined, is: sends, moments: attempts, gate: effecting, leaves: untouched},
		{name: "ROLLBACK", is: only("rollback"), moments: instant, leaves: untouched},
	}},
	{mode: idemtx.ModeDoBatch, name: "failed in the end", about: "It is the last statement of the work that fails, which makes the reply as well. DoBatch undoes it, and goes on as Do\nwould.", ends: failingLast, steps: []step{
		{name: pipelined, is: sends, leaves: untouched},
		{name: "ROLLBACK", is: only("rollback"), leaves: untouched},
		{name: "BEGIN, lock and look", is: asks, leaves: untouched},
		{name: "the work", is: works, moments: lasting, gate: effecting, leaves: untouched},
		{name: "ROLLBACK", is: only("rollback"), leaves: untouched},
	}},
	{mode: idemtx.ModeDoBatch, name: "a retry", about: "The key is answered when the call comes. The retry in this table is the second one.", start: done, steps: []step{
		{name: pipelined, is: sends, moments: glances, leaves: done},
		{name: "ROLLBACK", is: only("rollback"), leaves: done},
	}},

	{mode: idemtx.ModeDoTx, steps: []step{
		{name: "the caller's BEGIN", is: only("begin"), moments: instant, leaves: untouched},
		{name: "savepoint, lock and look", is: asks, moments: lasting, gate: reading, leaves: untouched},
		{name: "the handler's statement", is: works, moments: lasting, gate: effecting, leaves: untouched},
		{name: "reply and release of the savepoint", is: stores, moments: lasting, gate: writing, leaves: untouched},
		{name: "the caller's COMMIT", is: only("commit"), moments: commits, gate: writing, leaves: done},
	}},
	{mode: idemtx.ModeDoTx, name: "on a new connection", about: "pgx prepares the statements of a DoTx when it first sees them on a connection, for which the savepoint goes first.", cold: true, steps: []step{
		{name: "the caller's BEGIN", is: only("begin"), leaves: untouched},
		{name: "savepoint", is: takesSavepoint, moments: instant, leaves: untouched},
		{name: "lock and look", is: asks, moments: instant, leaves: untouched},
		{name: "the handler's statement", is: works, leaves: untouched},
		{name: "reply and release of the savepoint", is: stores, leaves: untouched},
		{name: "the caller's COMMIT", is: only("commit"), leaves: done},
	}},
	{mode: idemtx.ModeDoTx, name: "refused", about: "The handler returns ErrRefused. The savepoint undoes its writes, and its reply is written behind that.", ends: refusing, steps: []step{
		{name: "the caller's BEGIN", is: only("begin"), leaves: untouched},
		{name: "savepoint, lock and look", is: asks, leaves: untouched},
		{name: "the handler's statement", is: works, leaves: untouched},
		{name: "ROLLBACK TO the savepoint", is: goesToSavepoint, moments: instant, leaves: untouched},
		{name: "lock, reply and release of the savepoint", is: stores, moments: lasting, gate: writing, leaves: untouched},
		{name: "the caller's COMMIT", is: only("commit"), moments: commits, gate: writing, leaves: refusal},
	}},
	{mode: idemtx.ModeDoTx, name: "failed", about: "The handler returns an error of its own, after its write, and the caller gives up.", ends: failing, steps: []step{
		{name: "the caller's BEGIN", is: only("begin"), leaves: untouched},
		{name: "savepoint, lock and look", is: asks, leaves: untouched},
		{name: "the handler's statement", is: works, leaves: untouched},
		{name: "ROLLBACK TO the savepoint and its release", is: leavesSavepoint, moments: instant, leaves: untouched},
		{name: "the caller's ROLLBACK", is: only("rollback"), moments: instant, leaves: untouched},
	}},

	{mode: idemtx.ModeDoPool, steps: []step{
		{name: "claim and COMMIT", is: claims, moments: complete, gate: writing, leaves: claimed},
		{name: handlersOwn, is: works, moments: lasting, gate: effecting, leaves: worked},
		{name: "reply and COMMIT", is: saves, moments: complete, gate: updating, leaves: done},
	}},
	{mode: idemtx.ModeDoPool, name: "with a renewal", about: "The handler has done its write, and goes on while its lease is renewed.", lease: true, steps: []step{
		{name: "claim and COMMIT", is: claims, leaves: claimed},
		{name: handlersOwn, is: works, leaves: worked},
		{name: "renewal and COMMIT", is: renews, moments: complete, gate: updating, leaves: worked},
		{name: "reply and COMMIT", is: saves, leaves: done},
	}},
	{mode: idemtx.ModeDoPool, name: "failed", about: "The handler returns an error of its own, after its write, which nothing can undo.", ends: failing, steps: []step{
		{name: "claim and COMMIT", is: claims, leaves: claimed},
		{name: handlersOwn, is: works, leaves: worked},
		{name: "release of the claim and COMMIT", is: releases, moments: complete, gate: deleting, leaves: released},
	}},
}

var (
	untouched = state{0, none}
	expired   = state{0, stale}
	done      = state{1, reply}
	refusal   = state{0, reply}
	claimed   = state{0, claim}
	worked    = state{1, claim}
	released  = state{1, none}
)

// handlersOwn is a step of DoPool, whose handler has no transaction.
const handlersOwn = "the handler's statement, which commits"

// pipelined is the whole of a DoBatch: BEGIN, locks, look, work, reply and COMMIT.
const pipelined = "the pipeline"

// The gates that a trip can be held at, by what it does.
const (
	reading   = "read"
	writing   = "write"
	updating  = "update"
	deleting  = "delete"
	effecting = "work"
)

func asks(t *pgwire.Trip) bool     { return t.Has("begun_at") }
func sends(t *pgwire.Trip) bool    { return t.Has("idemtx: another request has the key") }
func works(t *pgwire.Trip) bool    { return t.Has("effects (key, run)") && !sends(t) }
func stores(t *pgwire.Trip) bool   { return t.Has("WITH stored AS") }
func inquires(t *pgwire.Trip) bool { return t.Has("body IS NOT DISTINCT FROM") }
func seeks(t *pgwire.Trip) bool    { return t.Has("lease_id = $3") && t.Has("FOR KEY SHARE") }
func goesBack(t *pgwire.Trip) bool { return t.Has("transaction_timestamp() = $1") }
func claims(t *pgwire.Trip) bool   { return t.Has("INSERT INTO") && t.Has("lease_id") && t.Commits() }
func renews(t *pgwire.Trip) bool   { return t.Has("SET lease_until") && t.Commits() }
func saves(t *pgwire.Trip) bool    { return t.Has("SET response = $4") && t.Commits() }
func releases(t *pgwire.Trip) bool { return t.Has("DELETE FROM") && t.Has("lease_id") && t.Commits() }

// only matches a trip of one statement.
func only(statement string) func(*pgwire.Trip) bool {
	return func(t *pgwire.Trip) bool { return slices.Equal(t.Statements, []string{statement}) }
}

func takesSavepoint(t *pgwire.Trip) bool  { return alone(t, "savepoint ") }
func goesToSavepoint(t *pgwire.Trip) bool { return alone(t, "rollback to ") && !t.Has("; release ") }
func leavesSavepoint(t *pgwire.Trip) bool { return alone(t, "rollback to ") && t.Has("; release ") }

// alone matches a trip of one text that begins so.
func alone(t *pgwire.Trip, begin string) bool {
	return len(t.Statements) == 1 && strings.HasPrefix(t.Statements[0], begin)
}
