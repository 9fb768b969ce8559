package integration

import (
	"context"
	"errors"
	osexec "os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemtx"
	"github.com/idemtx/idemtx/internal/pgnode"
)

// writes are calls, one after the other, and what each has the server write to its
// log: the versions of the row, and the ends of transactions. A COMMIT there is one
// that waits for the disk. An UPDATE writes to both indexes, a HOT_UPDATE to none.
var writes = []struct {
	name    string
	call    func(ctx context.Context, f *fixture) error
	records string // a pattern
}{
	{"Do", answersIn(modes[0]), "INSERT COMMIT"},
	{"Do, replay", answersIn(modes[0]), ""},
	{"Do, replay elsewhere", elsewhere(answersIn(modes[0])), ""},
	{"Do, error", endsIn(modes[0], errNoStock), "ABORT"},
	{"Do, refusal", endsIn(modes[0], idemtx.ErrRefused), "ABORT INSERT COMMIT"},
	{"DoTx", answersIn(modes[1]), "INSERT COMMIT"},
	{"DoTx, replay", answersIn(modes[1]), ""},
	{"DoTx, replay elsewhere", elsewhere(answersIn(modes[1])), ""},
	{"DoBatch", inBatch, "INSERT COMMIT"},
	{"DoBatch, replay", inBatch, ""},
	{"DoBatch, replay elsewhere", elsewhere(inBatch), ""},
	// The reply expires later than the claim would have, and expires_at has an index.
	{"DoPool", answersIn(modes[2]), "INSERT COMMIT UPDATE COMMIT"},
	{"DoPool, replay", answersIn(modes[2]), ""},
	{"DoPool, replay elsewhere", elsewhere(answersIn(modes[2])), ""},
	{"DoPool, error", endsIn(modes[2], errNoStock), "INSERT COMMIT DELETE COMMIT"},
	// The end of the handler may cut off a last renewal.
	{"DoPool, renewed", renewed, "INSERT COMMIT( HOT_UPDATE (COMMIT|ABORT))+ UPDATE COMMIT"},
	{"Put", puts, "INSERT COMMIT"},
	{"Put, again", puts, ""},
	{"Get", gets, ""},
	{"DeleteExpired, nothing has", sweeps, ""},
	{"all expire", expireAll, "(UPDATE )+COMMIT"},
	{"Do, expired", answersIn(modes[0]), "DELETE INSERT COMMIT"},
	{"DoTx, expired", answersIn(modes[1]), "DELETE INSERT COMMIT"},
	{"DoPool, expired", answersIn(modes[2]), "LOCK UPDATE COMMIT UPDATE COMMIT"},
	{"Put, expired", puts, "DELETE INSERT COMMIT"},
	{"DeleteExpired, one", sweeps, "LOCK DELETE COMMIT"},
}

// TestWrites reads the log of a server that nobody else writes to: a first request
// costs one version of its row, and the commit that its work has in any case; a
// replay costs neither; a renewal does not touch an index.
func TestWrites(t *testing.T) {
	t.Parallel()
	f := onNode(t, pgnode.New(t), withLease(time.Second))
	for _, w := range writes {
		records := f.logged(func() { require.NoError(t, w.call(t.Context(), f), w.name) })
		require.Regexp(t, "^"+w.records+"$", records, w.name)
	}
}

var errNoStock = errors.New("no stock")

// writing is a handler that writes where its transaction does. Where it has none, a
// write would be a commit of its own.
func writing(verdict error) work {
	return func(ctx context.Context, db execer) (order, error) {
		if _, transacts := db.(pgx.Tx); !transacts {
			return order{Number: 1}, verdict
		}
		var o order
		err := db.QueryRow(ctx, "INSERT INTO effects (key) VALUES ('k') RETURNING id").Scan(&o.Number)
		return o, errors.Join(err, verdict)
	}
}

func answersIn(m mode) func(context.Context, *fixture) error {
	return func(ctx context.Context, f *fixture) error {
		_, err := m.do(ctx, f, f.request(string(m.name)), writing(nil))
		return err
	}
}

// elsewhere makes a call by a store that has not seen its key, as that of another
// process.
func elsewhere(call func(context.Context, *fixture) error) func(context.Context, *fixture) error {
	return func(ctx context.Context, f *fixture) error {
		store, err := idemtx.New(f.pool, f.store.Config())
		if err != nil {
			return err
		}
		peer := *f
		peer.store = store
		return call(ctx, &peer)
	}
}

func endsIn(m mode, verdict error) func(context.Context, *fixture) error {
	return func(ctx context.Context, f *fixture) error {
		_, err := m.do(ctx, f, f.request(string(m.name)+" "+verdict.Error()), writing(verdict))
		if errors.Is(err, errNoStock) {
			return nil
		}
		return err
	}
}

// batchWork is the work of a batch, which its last statement has a part of.
const batchWork = "SELECT 7 AS number"

// smallBatch answers a key with that.
func (f *fixture) smallBatch(key string) (idemtx.Reply[order], error) {
	work := &pgx.Batch{}
	work.Queue(batchWork)
	return idemtx.DoBatch[order](f.t.Context(), f.store, f.request(key), work)
}

func inBatch(_ context.Context, f *fixture) error {
	_, err := f.smallBatch("batch")
	return err
}

// renewed has the handler run until its lease, which begins with the claim, ends
// later than it began.
func renewed(ctx context.Context, f *fixture) error {
	_, err := modes[2].do(ctx, f, f.request("renewed"), func(ctx context.Context, db execer) (order, error) {
		require.Eventually(f.t, func() bool {
			var later bool
			err := db.QueryRow(ctx, "SELECT lease_until > created_at + interval '1 second' FROM idemtx_replies WHERE key = 'renewed'").Scan(&later)
			return err == nil && later
		}, time.Minute, 5*time.Millisecond)
		return order{Number: 1}, nil
	})
	return err
}

func puts(ctx context.Context, f *fixture) error {
	_, err := f.store.Put(ctx, f.scope, "put", idemtx.Entry{Response: []byte("{}")})
	return err
}

func gets(ctx context.Context, f *fixture) error {
	_, err := f.store.Get(ctx, f.scope, "put")
	return err
}

func sweeps(ctx context.Context, f *fixture) error {
	_, err := f.store.DeleteExpired(ctx, 1)
	return err
}

func expireAll(ctx context.Context, f *fixture) error {
	_, err := f.pool.Exec(ctx, "UPDATE idemtx_replies SET created_at = created_at - interval '1 year', "+
		"expires_at = clock_timestamp() - interval '1 second'")
	return err
}

var record = regexp.MustCompile(`rmgr: (Heap|Transaction) .* desc: (INSERT|UPDATE|HOT_UPDATE|DELETE|LOCK|COMMIT|ABORT)\b(.*)`)

// logged returns what is written to the server's log during a call: of the table of
// replies, and of transactions.
func (f *fixture) logged(call func()) string {
	f.t.Helper()
	ctx := f.t.Context()
	row := func(sql string, to ...any) {
		require.NoError(f.t, f.pool.QueryRow(ctx, sql).Scan(to...))
	}
	var from, to, file, data, programs string
	row("SELECT pg_current_wal_insert_lsn()::text", &from)
	call()
	row("SELECT pg_current_wal_insert_lsn()::text, pg_relation_filepath('idemtx_replies'), current_setting('data_directory'), "+
		"(SELECT setting FROM pg_config WHERE name = 'BINDIR')", &to, &file, &data, &programs)
	if from == to { // for which the program finds nothing to begin with
		return ""
	}
	// A commit has all that is in front of it written.
	row("SELECT pg_logical_emit_message(true, '', '')::text", new(string))
	output, err := osexec.CommandContext(ctx, filepath.Join(programs, "pg_waldump"),
		"--path="+filepath.Join(data, "pg_wal"), "--start="+from, "--end="+to).CombinedOutput()
	require.NoError(f.t, err, string(output))

	var records []string
	for _, r := range record.FindAllStringSubmatch(string(output), -1) {
		table := "/" + strings.TrimPrefix(file, "base/") + " " // in front of it is the tablespace
		if r[1] == "Transaction" || strings.Contains(r[3]+" ", table) {
			records = append(records, r[2])
		}
	}
	return strings.Join(records, " ")
}
