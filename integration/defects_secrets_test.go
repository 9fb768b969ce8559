package integration

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemtx"

	"github.com/idemtx/idemtx/integration/internal/written"
)

// mark is in all that must not come out: in scope, key, payload and reply. The
// first eight bytes of a key may.
const (
	mark      = "5ecret"
	secretKey = "visible-" + mark
)

// records is what has been logged and traced.
type records struct{ written.Text }

func (r *records) TraceStart(ctx context.Context, data idemtx.TraceStartData) context.Context {
	_, _ = fmt.Fprintf(r, "%v %+v %#v\n", data, data, data)
	return ctx
}

func (r *records) TraceEnd(_ context.Context, data idemtx.TraceEndData) {
	_, _ = fmt.Fprintf(r, "%v %+v %#v\n", data, data, data)
}

// everything is the text of err and of all errors under it, in every verb, with
// all that PostgreSQL may have put into them.
func everything(err error) string {
	text := fmt.Sprintf("%v\n%+v\n%#v\n%q\n", err, err, err, err)
	if pgErr, ok := err.(*pgconn.PgError); ok { //nolint:errorlint // each error of the chain by itself
		text += fmt.Sprintf("%#v\n", *pgErr)
		if pgErr.Detail != "" || pgErr.Where != "" || pgErr.InternalQuery != "" || pgErr.Hint != "" {
			text += "a detail: " + mark
		}
	}
	switch err := err.(type) { //nolint:errorlint // the two ways down
	case interface{ Unwrap() error }:
		if next := err.Unwrap(); next != nil {
			text += everything(next)
		}
	case interface{ Unwrap() []error }:
		for _, next := range err.Unwrap() {
			text += everything(next)
		}
	}
	return text
}

// discreet is a fixture whose every request is full of secrets.
type discreet struct {
	*fixture
	records *records
	request idemtx.Request
}

func newDiscreet(t *testing.T, options ...option) *discreet {
	t.Helper()
	d := &discreet{records: &records{}}
	d.fixture = newFixture(t, append(options, withConfig(func(c *idemtx.Config) {
		c.Logger = slog.New(slog.NewJSONHandler(d.records, &slog.HandlerOptions{Level: slog.LevelDebug}))
		c.Tracer = d.records
		if c.Lease == 0 {
			c.Lease = time.Hour
		}
	}))...)
	d.request = idemtx.Request{
		Scope: mustScope(t, "tenant "+mark, "principal "+mark), Operation: "POST /orders", Key: secretKey,
		Payload: map[string]string{"card": mark},
	}
	return d
}

// keep requires that nothing has come out, neither in err nor in the records.
func (d *discreet) keep(err error) {
	d.t.Helper()
	require.Error(d.t, err)
	fingerprint, fingerprintErr := idemtx.FingerprintOf(d.request.Operation, d.request.Payload)
	require.NoError(d.t, fingerprintErr)
	for _, secret := range []string{mark, hex.EncodeToString([]byte(mark)), hex.EncodeToString(fingerprint[:4])} {
		require.NotContains(d.t, everything(err), secret)
		require.NotContains(d.t, d.records.String(), secret)
	}
}

// answer is a handler's secret reply.
func answer(context.Context, execer) (order, error) { return order{Number: 1, Note: mark}, nil }

// put stores the reply that is asked for.
func (d *discreet) put(ctx context.Context, tx pgx.Tx) error {
	entry := idemtx.Entry{Response: mustJSON(d.t, order{Note: mark}), Body: []byte(mark)}
	var err error
	if tx == nil {
		_, err = d.store.Put(ctx, d.request.Scope, secretKey, entry)
	} else {
		_, err = d.store.PutTx(ctx, tx, d.request.Scope, secretKey, entry)
	}
	return err
}

// all runs every call, and returns the errors that come of them.
func (d *discreet) all(handler work) (failed []error) {
	ctx := d.t.Context()
	note := func(err error) {
		if err != nil {
			failed = append(failed, err)
		}
	}
	for _, m := range modes {
		_, err := m.do(ctx, d.fixture, d.request, handler)
		note(err)
	}
	note(d.put(ctx, nil))
	_, err := d.store.Get(ctx, d.request.Scope, secretKey)
	note(err)
	for _, call := range []func(pgx.Tx) error{
		func(tx pgx.Tx) error { return d.put(ctx, tx) },
		func(tx pgx.Tx) error {
			_, err := d.store.GetTx(ctx, tx, d.request.Scope, secretKey)
			return err
		},
	} {
		note(pgx.BeginFunc(ctx, d.pool, call))
	}
	_, err = d.store.DeleteExpired(ctx, 10)
	note(err)
	return failed
}

// Whoever has a key can fetch its reply, and an error goes into logs, tickets and
// responses. PostgreSQL puts whole rows into the details of its errors, and
// drivers quote the values that they cannot send.
func TestDefectSecretsInErrorsOfABrokenTable(t *testing.T) {
	t.Parallel()
	for name, breaks := range map[string]string{
		"check":              "ALTER TABLE @ ADD CONSTRAINT no_reply CHECK (response IS NULL)",
		"check_of_all":       "ALTER TABLE @ ADD CONSTRAINT no_row CHECK (false)",
		"unique":             "INSERT INTO @ (created_at, expires_at, fingerprint, scope, key, response) SELECT now(), now() + interval '1 day', sha256(''), 'x', 'x', '1'; CREATE UNIQUE INDEX ON @ ((1))",
		"missing":            "DROP TABLE @",
		"missing_column":     "ALTER TABLE @ DROP COLUMN fingerprint",
		"key_bigint":         "ALTER TABLE @ DROP CONSTRAINT key_length, ALTER key TYPE bigint USING NULL",
		"key_uuid":           "ALTER TABLE @ DROP CONSTRAINT key_length, ALTER key TYPE uuid USING NULL",
		"scope_bigint":       "ALTER TABLE @ DROP CONSTRAINT scope_length, ALTER scope TYPE bigint USING NULL",
		"body_bigint":        "ALTER TABLE @ DROP CONSTRAINT claim_has_no_reply, ALTER body TYPE bigint USING NULL",
		"fingerprint_bigint": "ALTER TABLE @ DROP CONSTRAINT fingerprint_is_sha256, ALTER fingerprint TYPE bigint USING NULL",
		"fingerprint_text":   "ALTER TABLE @ DROP CONSTRAINT fingerprint_is_sha256, ALTER fingerprint TYPE text USING NULL",
		"fingerprint_uuid":   "ALTER TABLE @ DROP CONSTRAINT fingerprint_is_sha256, ALTER fingerprint TYPE uuid USING NULL",
		"short_key":          "ALTER TABLE @ ALTER key TYPE varchar(3)",
		"trigger": `CREATE FUNCTION $.tell() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
				RAISE EXCEPTION 'no' USING DETAIL = NEW::text, HINT = NEW.key, ERRCODE = 'check_violation'; END $$;
			CREATE TRIGGER tell BEFORE INSERT OR UPDATE ON @ FOR EACH ROW EXECUTE FUNCTION $.tell()`,
		"trigger_message": `CREATE FUNCTION $.tell() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
				RAISE EXCEPTION 'no % for %', NEW.key, NEW.scope; END $$;
			CREATE TRIGGER tell BEFORE INSERT OR UPDATE ON @ FOR EACH ROW EXECUTE FUNCTION $.tell()`,
	} {
		for _, mode := range []pgx.QueryExecMode{pgx.QueryExecModeCacheStatement, pgx.QueryExecModeExec, pgx.QueryExecModeSimpleProtocol} {
			t.Run(name+"/"+mode.String(), func(t *testing.T) {
				t.Parallel()
				d := newDiscreet(t, withExecMode(mode))
				exec(t, strings.NewReplacer("$.", d.schema+".", "@", d.table()).Replace(breaks))
				failed := d.all(answer)
				require.NotEmpty(t, failed)
				for _, err := range failed {
					d.keep(err)
				}
			})
		}
	}
}

// The errors of a table that is right.
func TestDefectSecretsInErrorsAndLogs(t *testing.T) {
	t.Parallel()
	for _, m := range modes {
		t.Run(string(m.name), func(t *testing.T) {
			t.Parallel()
			d := newDiscreet(t, withConfig(func(c *idemtx.Config) { c.OnExpired, c.MaxReplyBytes = idemtx.RefuseExpired, 100 }))
			fails := func(says string, r idemtx.Request, fn work) {
				t.Helper()
				_, err := m.do(t.Context(), d.fixture, r, fn)
				require.ErrorContains(t, err, says)
				d.keep(err)
			}
			change := func(change func(*idemtx.Request)) idemtx.Request {
				r := d.request
				change(&r)
				return r
			}
			fails("not printable", change(func(r *idemtx.Request) { r.Key = mark + "\n" }), answer)
			fails("occurs twice", change(func(r *idemtx.Request) {
				r.Payload = json.RawMessage(`{"a":"` + mark + `","a":"` + mark + `"}`)
			}), answer)
			fails("more than 100 bytes", d.request, func(context.Context, execer) (order, error) {
				return order{Note: strings.Repeat(mark, 50)}, nil
			})
			free := change(func(r *idemtx.Request) { r.Key += "-lost" })
			if m.atomic {
				fails("", free, func(ctx context.Context, db execer) (order, error) {
					_ = db.QueryRow(ctx, "SELECT pg_terminate_backend(pg_backend_pid())").Scan(nil)
					return answer(ctx, db)
				})
				fails("misused", free, func(ctx context.Context, db execer) (order, error) {
					_ = db.QueryRow(ctx, "SELECT $1::text::int", mark).Scan(nil)
					return answer(ctx, db)
				})
			}
			held := change(func(r *idemtx.Request) { r.Key += "-held" })
			running, end, done := make(chan struct{}), make(chan struct{}), make(chan struct{})
			go func() {
				defer close(done)
				_, err := m.do(t.Context(), d.fixture, held, func(ctx context.Context, db execer) (order, error) {
					close(running)
					select {
					case <-end:
					case <-ctx.Done(): // the test has failed
					}
					return answer(ctx, db)
				})
				if err != nil {
					t.Error(err)
				}
			}()
			<-running
			held.OnDuplicate = idemtx.Refuse
			fails("in flight", held, answer)
			held.Payload = mark
			fails("different request", held, answer)
			close(end)
			<-done
			fails("different request", held, answer)
			held.Payload = d.request.Payload
			_, err := answerWithin(t, m, d, held)
			require.ErrorContains(t, err, "does not decode")
			d.keep(err)
			d.expire(held.Key)
			fails("has expired", held, answer)
			require.Contains(t, d.records.String(), d.request.Scope.LogID())
		})
	}
}

// answerWithin asks for a reply of another type than the one that is stored.
func answerWithin(t *testing.T, m mode, d *discreet, r idemtx.Request) (idemtx.Reply[[]string], error) {
	t.Helper()
	switch m.name {
	case idemtx.ModeDo:
		return idemtx.Do(t.Context(), d.store, r, func(context.Context, pgx.Tx) ([]string, error) { return nil, nil })
	case idemtx.ModeDoPool:
		return idemtx.DoPool(t.Context(), d.store, r, func(context.Context) ([]string, error) { return nil, nil })
	}
	tx := begin(t, d.pool)
	defer func() { _ = tx.Rollback(t.Context()) }()
	return idemtx.DoTx(t.Context(), d.store, tx, r, func(context.Context, pgx.Tx) ([]string, error) { return nil, nil })
}

// What only COMMIT finds wrong is an error of PostgreSQL's, too, with a row of the
// handler's in its details.
func TestDefectSecretsInTheErrorOfCommit(t *testing.T) {
	t.Parallel()
	d := newDiscreet(t)
	exec(t, "ALTER TABLE "+d.schema+".effects ADD CONSTRAINT once UNIQUE (key) DEFERRABLE INITIALLY DEFERRED")
	_, err := idemtx.Do(t.Context(), d.store, d.request, func(ctx context.Context, tx pgx.Tx) (order, error) {
		_, err := d.effect(ctx, tx, mark)
		require.NoError(t, err)
		return d.effect(ctx, tx, mark)
	})
	require.ErrorContains(t, err, "once")
	require.Equal(t, "23505", code(err))
	d.keep(err)
}

// The lease and the sweeper have nobody to tell of an error but the log. There, a
// key shows its first eight bytes, and none when that is all it has.
func TestDefectSecretsInTheLog(t *testing.T) {
	t.Parallel()
	d := newDiscreet(t, withConfig(func(c *idemtx.Config) { c.Lease = time.Second }))
	require.NoError(t, d.put(t.Context(), nil))
	d.expire(secretKey)
	exec(t, strings.NewReplacer("$.", d.schema+".", "@", d.table()).Replace(`
		CREATE FUNCTION $.tell() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
			RAISE EXCEPTION 'no' USING DETAIL = OLD::text, HINT = OLD.key, ERRCODE = 'check_violation'; END $$;
		CREATE TRIGGER tell BEFORE UPDATE OR DELETE ON @ FOR EACH ROW EXECUTE FUNCTION $.tell()`))
	logged := func(what string) {
		require.Eventually(t, func() bool { return strings.Contains(d.records.String(), what) }, time.Minute, time.Millisecond)
	}
	ctx, cancel := context.WithCancel(t.Context())
	swept := make(chan error)
	go func() { swept <- d.store.RunSweeper(ctx, time.Hour) }()
	logged("sweep failed")
	cancel()
	require.ErrorIs(t, <-swept, context.Canceled)

	for _, key := range []string{"visible+" + mark, mark + "##"} {
		r := d.request
		r.Key = key
		_, err := idemtx.DoPool(t.Context(), d.store, r, func(context.Context) (order, error) {
			logged("a lease was not renewed")
			return order{}, errors.New("failed")
		})
		d.keep(err)
	}
	logged("a claim was not released")
	require.Contains(t, d.records.String(), `"key":"visible+"`)
	require.Contains(t, d.records.String(), `"key":"****"`)
	require.Contains(t, d.records.String(), `"scope":"`+d.request.Scope.LogID()+`"`)
}
