package integration

import (
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemtx"
)

// complaints are the errors that the server has sent, as its log has them.
type complaints struct {
	mu   sync.Mutex
	errs []error
}

func (c *complaints) note(err error) {
	if err == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.errs = append(c.errs, err)
}

func (c *complaints) all() []error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.errs
}

// A pipeline that stops in front of the work stops at an error, which the server
// logs. It says what has happened, and neither for whom nor for what.
func TestBatchStopTellsNoSecret(t *testing.T) {
	t.Parallel()
	for _, mode := range execModes {
		t.Run(mode.String(), func(t *testing.T) {
			t.Parallel()
			told := new(complaints)
			d := newDiscreet(t, withExecMode(mode), withTracer(watcher(told.note)))
			_, err := d.batch(t.Context(), d.request, batchOf("SELECT '"+mark+"' AS note"))
			require.NoError(t, err)
			require.Empty(t, told.all())
			p := *d
			p.fixture = d.peer(withExecMode(mode), withTracer(watcher(told.note)))
			reply, err := p.batch(t.Context(), d.request, batchOf(returning))
			require.NoError(t, err)
			require.Equal(t, mark, reply.Value.Note)
			other := d.request
			other.Payload = "another"
			p.fixture = d.peer(withExecMode(mode), withTracer(watcher(told.note)))
			_, err = p.batch(t.Context(), other, batchOf(returning))
			require.ErrorIs(t, err, idemtx.ErrMismatch)
			d.keep(err)
			p.idle()

			if mode == pgx.QueryExecModeSimpleProtocol { // its log would have the literals
				require.Empty(t, told.all())
				return
			}
			require.Len(t, told.all(), 2)
			for _, err := range told.all() {
				require.Equal(t, "22P02", state(err))
				require.ErrorContains(t, err, `"idemtx: the key has been used"`)
				d.keep(err)
			}
		})
	}
}

// While the key is held the pipeline stops at its lock.
func TestBatchStopAtTheLockTellsNoSecret(t *testing.T) {
	t.Parallel()
	told := new(complaints)
	d := newDiscreet(t)
	open := gated(d.fixture)
	call := launchBatch(t.Context(), d.fixture, d.request, batchOf(d.gate(), returning))
	d.blocked(1)
	peer := d.peer(withTracer(watcher(told.note)), withConfig(refusing))
	_, err := peer.batch(t.Context(), d.request, batchOf(returning))
	open()
	call.ends(t)
	require.NoError(t, call.err)
	require.ErrorIs(t, err, idemtx.ErrInFlight)
	d.keep(err)
	require.NotEmpty(t, told.all())
	require.ErrorContains(t, told.all()[0], `"idemtx: another request has the key"`)
	for _, err := range told.all() {
		d.keep(err)
	}
}

// The errors of idemtx's, and those of a table that is wrong.
func TestBatchErrorsTellNoSecret(t *testing.T) {
	t.Parallel()
	for _, mode := range execModes {
		t.Run(mode.String(), func(t *testing.T) {
			t.Parallel()
			for name, breaks := range map[string]string{
				"none":           "SELECT 1",
				"check":          "ALTER TABLE @ ADD CONSTRAINT no_reply CHECK (response IS NULL)",
				"check_of_all":   "ALTER TABLE @ ADD CONSTRAINT no_row CHECK (false)",
				"missing":        "DROP TABLE @",
				"missing_column": "ALTER TABLE @ DROP COLUMN fingerprint",
				"key_bigint":     "ALTER TABLE @ DROP CONSTRAINT key_length, ALTER key TYPE bigint USING NULL",
				"key_uuid":       "ALTER TABLE @ DROP CONSTRAINT key_length, ALTER key TYPE uuid USING NULL",
				"scope_bigint":   "ALTER TABLE @ DROP CONSTRAINT scope_length, ALTER scope TYPE bigint USING NULL",
				"short_key":      "ALTER TABLE @ ALTER key TYPE varchar(3)",
				"fingerprint":    "ALTER TABLE @ DROP CONSTRAINT fingerprint_is_sha256, ALTER fingerprint TYPE uuid USING NULL",
				"unique": "INSERT INTO @ (created_at, expires_at, fingerprint, scope, key, response) SELECT now(), now() + interval '1 day', sha256(''), 'x', 'x', '1';" +
					"CREATE UNIQUE INDEX ON @ ((1))",
			} {
				d := newDiscreet(t, withExecMode(mode), withConfig(func(c *idemtx.Config) { c.MaxReplyBytes = 100 }))
				exec(t, replace(d.fixture, breaks))
				told := 0
				for _, sql := range []string{
					"SELECT '" + mark + "' AS note",
					"SELECT repeat('" + mark + "', 100) AS note",
					"SELECT '" + mark + "' AS note WHERE false",
					"SELECT '" + mark + "' AS note FROM generate_series(1, 2)",
					"SELECT '" + mark + "' AS number",
				} {
					_, err := d.batch(t.Context(), d.request, batchOf(sql))
					if err == nil { // as of the first work in a table that is right
						exec(t, replace(d.fixture, "DELETE FROM @"))
						continue
					}
					d.keep(err)
					told++
				}
				require.NotZero(t, told, name)
				d.idle()
			}
		})
	}
}

// What a statement of the work's fails of is the work's own error, with all that
// PostgreSQL says. COMMIT's tells no row.
func TestBatchSecretsInTheErrorOfCommit(t *testing.T) {
	t.Parallel()
	d := newDiscreet(t)
	exec(t, "ALTER TABLE "+d.schema+".effects ADD CONSTRAINT once UNIQUE (key) DEFERRABLE INITIALLY DEFERRED")
	work := &pgx.Batch{}
	for range 2 {
		work.Queue("INSERT INTO "+d.schema+".effects (key) VALUES ($1) RETURNING id AS number", mark)
	}
	_, err := d.batch(t.Context(), d.request, work)
	require.ErrorContains(t, err, "once")
	require.Equal(t, "23505", state(err))
	d.keep(err)
	require.NotContains(t, strings.ToLower(err.Error()), "detail")
}
