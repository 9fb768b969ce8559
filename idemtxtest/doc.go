// Package idemtxtest is the crash matrix for a handler of idemtx: a test that
// breaks the handler's run wherever it can break, has a client try again, and
// compares what there is in the end with one clean run.
//
//	func TestPlaceOrderSurvives(t *testing.T) {
//		store := newStore(t) // on a database of the test's own
//		r := idemtx.Request{Scope: whose, Operation: "POST /orders", Key: "k", Payload: order}
//		idemtxtest.Crash(t, store, r, func(ctx context.Context, tx pgx.Tx) (Receipt, error) {
//			return placeOrder(ctx, tx, order)
//		})
//	}
//
// idemtx stores the reply if and only if the writes of the handler's transaction
// are committed. What a handler does elsewhere idemtx cannot undo, and cannot see.
// This is the test that sees it:
//
//	idemtxtest: the handler writes outside its transaction: public.audit has 1 row more
//		after the transaction was rolled back
//		when a crash comes before statement 2 (INSERT INTO orders (sku) VALUES ($1))
//
// [idemtx.DoBatch] has no handler and needs no such test: its work is SQL, all of it in
// one transaction.
//
// # What is done
//
// First some clean runs, to learn what the handler does. One between them is
// rolled back, and one is watched: at each boundary between two statements it is
// looked at what other transactions can see. Before COMMIT that is what a crash
// right there would leave, so nothing may have changed. The first run may insert
// rows that all later ones update, as an upsert does; then it is not compared.
//
// Then, for each trip to the server from BEGIN to COMMIT, runs that are broken
// there: the connection is cut before the server hears of the trip; it is cut when
// the server has done it, and its answer is lost; the server ends the session, as
// in a restart; the caller's context ends. At COMMIT it is also cut on the way. Each
// is run once with a store that gives up, whose caller tries again with the same
// key, and once with one that goes on by itself, as [idemtx.Config.MaxAttempts]
// says. A batch is one trip: within it PostgreSQL is on its own, and all or nothing
// of it is done.
//
// Then two copies of one request at once, the second of which comes while the
// first is at work: when the first one's COMMIT lands, when it never arrives, and
// when its answer is lost.
//
// # What is compared
//
// All tables of the database are read before and after: every table of every
// schema but PostgreSQL's own and the store's. Whole tables, because nothing less
// is exact: xmin does not tell of deleted rows, statistics come late and count
// what was rolled back, and logical decoding needs a role and a setting that tests
// do not have. So the tables have to be small; with more than 20,000 rows Crash
// gives up. Databases of tests are small, or [Only] makes them so.
//
// What is compared are the rows that were inserted, updated and deleted: how many,
// and their values. Of a number, a date or a time that was updated it is by how
// much, so that an account that is charged by 10 is the same each time, whatever it
// held. Columns in which clean runs differ are not compared: numbers from a
// sequence, times, generated identifiers. So is it with the places in a reply.
// Where something may be a time to the second, Crash waits for the next one. A
// test that passes logs which columns were compared.
//
// With [Reset] all runs begin in one state, and more is the same in clean runs:
// without it, of a text that is added to, or an array, no more is compared than
// that it changes. Rows of a table without a primary key or another unique index
// cannot be told from each other; an update of several of them is seen as
// insertions and deletions.
//
// # What is not seen
//
// Sequences, which no rollback turns back; NOTIFY; settings of the session; large
// objects; temporary and foreign tables and materialized views; other databases;
// and all that is not in PostgreSQL, unless [Effects] lists it. Nor is what the
// handler writes elsewhere and takes back before its next statement. What a goroutine writes that the handler
// leaves behind is seen when it is written before a later look, as a difference in
// whatever case comes next.
package idemtxtest
