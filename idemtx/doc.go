// Package idemtx makes a request that is sent twice happen once, and answers
// the second with the first one's reply.
//
// A client that times out cannot know whether its request has happened, so it
// sends it again, with the same idempotency key. A store that remembers the
// reply on a connection of its own, after the work was committed, leaves a gap
// between the two commits: a crash in it repeats the work. Here the reply is
// written in the handler's own transaction:
//
//	reply, err := idemtx.Do(ctx, store, idemtx.Request{
//		Scope:     whose,                   // from the scope package
//		Operation: "POST /orders",
//		Key:       r.Header.Get("Idempotency-Key"),
//		Payload:   order,
//	}, func(ctx context.Context, tx pgx.Tx) (Receipt, error) {
//		return placeOrder(ctx, tx, order)
//	})
//
// # What is promised
//
// [Do], [DoBatch] and [DoTx]: the reply is stored if and only if the work's writes are.
// It is one transaction and one commit, and a crash leaves nothing to recover.
//
//	absent ── handler, reply, COMMIT ──▶ answered ── TTL ──▶ absent
//	   ▲                │
//	   └── error, panic, crash, lost connection: nothing was done
//
// With [RefuseExpired] and Config.Retention a key that was answered does not become
// absent at the end of its TTL: its reply is deleted, and it is refused for as long as
// it is retained.
//
//	answered ── TTL ──▶ expired ── retention ──▶ absent
//
// [DoPool], for work that does not fit into one transaction: at most one handler
// holds the key while its lease is renewed. Between the work and the reply
// there is a gap.
//
//	absent ── claim, COMMIT ──▶ claimed ── reply, COMMIT ──▶ answered ── TTL ──▶ absent
//	   ▲                           │
//	   ├── error, panic ───────────┤
//	   └── crash: when the lease ends; the work may have been done, and is done again
//
// # What happens when it dies
//
// What is left when the process, its connection, or the server dies in a step:
//
//	                                Do, DoBatch, DoTx  DoPool
//	taking the lock, or claiming    nothing            nothing, or the claim
//	the handler                     nothing            what it has done, and the claim
//	between handler and reply       nothing            the work, and the claim
//	writing the reply               nothing            the work, and the claim or the reply
//	COMMIT (DoTx: the caller's)     all or nothing     the work, and the reply
//	answering                       work and reply     the work, and the reply
//
// A retry gets the reply, where there is one. Where there is nothing it runs the
// handler. Where there is a claim it runs the handler again when the lease has
// ended, whatever was done before: that is the price of pool mode. CRASHES.md in
// the repository has each step, with a test for each line.
//
// When the answer to COMMIT is lost and the process lives, [Do] and [DoBatch] find
// out by themselves whether it has landed: they take the key's lock, which is free only
// when the old transaction is over, and look for the row.
//
// # Duplicates
//
// While a handler runs, others with its key wait for it, or are refused, as
// [Duplicate] says. Callers of [Do], [DoBatch] and [DoPool] in one process wait in memory
// and hold no connection; of each process at most one waits in PostgreSQL, for an
// advisory lock that ends with the transaction. What protects the key in the end
// is the primary key: where the lock does not, as against a program of another
// kind, the second reply cannot be written, its work is undone, and the first
// reply is the answer.
//
// # Other services
//
// No rollback undoes a call to another service. [DownstreamKey] is the key to
// call it with: the same each time the handler runs, so that the service does its
// work once.
//
// # Isolation
//
// All levels are supported, through [Config.TxOptions]. Under READ COMMITTED a
// request that has waited sees what it has waited for in the same transaction.
// Under REPEATABLE READ and SERIALIZABLE it has to begin a new one; [Do] does,
// and runs the handler again after 40001. [DoTx] returns 40001 to its caller,
// whose transaction it is.
//
// At these levels the snapshot is older than the lock, and does not show what another
// call has committed between the two. Work that has not seen it is undone, and the
// other's reply is the answer, in place of a reply or an error of its own; a panic, an
// [ErrTxMisuse], the end of its context and a reply that PostgreSQL refuses stay what
// they are. In [DoTx], where the snapshot is the caller's, the reply of such work
// becomes 40001, and its error is returned as it is.
//
// Under SERIALIZABLE requests with different keys conflict, too: looking for a key
// that is not there reads a page of the index, or the whole of a table that is
// still small. Raise [Config.MaxAttempts].
//
// # Replication
//
// A promoted standby has both work and reply, or neither. With
// synchronous_standby_names set, it has everything that was acknowledged. COMMIT
// alone does not see to that: when its wait for the standby is cut off, as by the
// cancel request that pgx sends when it closes a connection, the row shows all the
// same. So there a replay locks its row and commits, which waits for the standby,
// before it is given; in [DoTx] it is the caller's COMMIT that waits. Beyond this
// are [Store.GetTx] and read-only transactions, which cannot wait, and whoever cancels a waiting COMMIT by
// pg_cancel_backend: PostgreSQL tells the caller that it has succeeded.
//
// # Time
//
// All times are the server's, read with clock_timestamp() in the statement that
// needs them. A row is live while its expires_at is in the future. Nothing is
// compared with the clock of the application; a [Cache] counts from the look how long
// the server has said that the row will live. When the server's clock is stepped
// forward, replies expire and leases end early; when it is stepped back, they last
// longer, and a wait in PostgreSQL may last until its context ends.
//
// # Operating
//
// Call [Store.CreateSchema] at the start, or put [Store.SchemaSQL] into your
// migrations and call [Store.VerifySchema]. Run [Store.RunSweeper] in every
// replica. Only transaction-level locks are used, so PgBouncer's transaction
// pooling is fine. Config.Partitions is for a table that grows large, and Config.Codec
// and Config.KeySecret keep replies and keys from those who can read it.
package idemtx
