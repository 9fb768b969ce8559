package page

import (
	"context"
	"errors"
	"html"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemtx"
	"github.com/idemtx/idemtx/idemui"
)

// story is a key in one state: what its page says, and what a retry does get.
type story struct {
	configure func(*idemtx.Config)
	arrange   func(*fixture)
	state     string
	says      []string
	gets      outcome
}

// outcome is what came of a retry.
type outcome struct {
	ran, replayed, refused bool
	err                    error
}

var stories = map[string]story{
	"Absent": {
		arrange: func(*fixture) {},
		state:   "Absent",
		says:    []string{"The handler runs: nothing is stored"},
		gets:    outcome{ran: true},
	},
	"Answered": {
		arrange: func(f *fixture) { f.do(key, nil) },
		state:   "Answered",
		says: []string{
			"The stored reply, and the handler does not run.", "refused with ErrMismatch",
			"Once the reply has expired, the handler runs again.", "Fingerprint",
		},
		gets: outcome{replayed: true},
	},
	"Refused": {
		arrange: func(f *fixture) { f.do(key, idemtx.ErrRefused) },
		state:   "Refused",
		says:    []string{"The stored refusal, and the handler does not run."},
		gets:    outcome{replayed: true, refused: true},
	},
	"HeldByATransaction": {
		configure: impatient,
		arrange:   func(f *fixture) { f.hold(key, idemtx.ModeDo) },
		state:     "In flight",
		says:      []string{"It waits up to 50 ms for the reply, and is then told ErrInFlight.", "held by the transaction of backend"},
		gets:      outcome{err: idemtx.ErrInFlight},
	},
	"Claimed": {
		configure: impatient,
		arrange:   func(f *fixture) { f.hold(key, idemtx.ModeDoPool) },
		state:     "In flight",
		says:      []string{"It waits up to 50 ms", "The lease is renewed while the handler runs.", " left"},
		gets:      outcome{err: idemtx.ErrInFlight},
	},
	"ClaimedAndRefusing": {
		configure: func(c *idemtx.Config) { c.OnDuplicate = idemtx.Refuse },
		arrange:   func(f *fixture) { f.hold(key, idemtx.ModeDoPool) },
		state:     "In flight",
		says:      []string{"ErrInFlight, at once."},
		gets:      outcome{err: idemtx.ErrInFlight},
	},
	"Abandoned": {
		arrange: func(f *fixture) { f.do(key, nil); f.abandon() },
		state:   "Expired",
		says:    []string{"The handler runs: the lease of the call that had claimed the key has ended", "may have done its work"},
		gets:    outcome{ran: true},
	},
	"Expired": {
		arrange: func(f *fixture) { f.do(key, nil); f.expire() },
		state:   "Expired",
		says:    []string{"The handler runs, as if the key had never been used."},
		gets:    outcome{ran: true},
	},
	"ExpiredAndRefused": {
		configure: func(c *idemtx.Config) { c.OnExpired = idemtx.RefuseExpired },
		arrange:   func(f *fixture) { f.do(key, nil); f.expire() },
		state:     "Expired",
		says:      []string{"ErrExpired, whatever the request", "until the sweeper has deleted its row."},
		gets:      outcome{err: idemtx.ErrExpired},
	},
	"Retained": {
		configure: func(c *idemtx.Config) { c.OnExpired, c.Retention = idemtx.RefuseExpired, time.Hour },
		arrange: func(f *fixture) {
			f.do(key, nil)
			f.expire()
			_, err := f.store.DeleteExpired(f.tb.Context(), 10)
			require.NoError(f.tb, err)
		},
		state: "Expired",
		says:  []string{"ErrExpired, whatever the request", "may not be used again before 20", "Refused until"},
		gets:  outcome{err: idemtx.ErrExpired},
	},
}

// impatient has a retry give up soon.
func impatient(c *idemtx.Config) { c.MaxWait = 50 * time.Millisecond }

// expire has a reply expired for an hour.
func (f *fixture) expire() {
	f.tb.Helper()
	f.exec("UPDATE " + f.table() + ` SET created_at = created_at - '48 h'::interval,
		expires_at = clock_timestamp() - '1 h'::interval`)
}

// abandon makes of a reply the claim of a process that died an hour ago.
func (f *fixture) abandon() {
	f.tb.Helper()
	f.exec("UPDATE " + f.table() + ` SET created_at = created_at - '2 h'::interval, response = NULL, body = NULL,
		lease_id = gen_random_uuid(), lease_until = clock_timestamp() - '1 h'::interval`)
}

// What a page says that a retry gets is what one gets.
func TestStories(t *testing.T) {
	t.Parallel()
	for name, story := range stories {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			configure := story.configure
			if configure == nil {
				configure = func(*idemtx.Config) {}
			}
			f := newFixture(t, configure)
			story.arrange(f)
			r := f.serve(idemui.Config{}).lookUp(key)
			assert.Equal(t, 200, r.status)
			body := html.UnescapeString(r.body)
			assert.Contains(t, body, ">"+story.state+"</span>")
			for _, words := range story.says {
				assert.Contains(t, body, words)
			}
			assert.Equal(t, story.gets, f.retry(t))
		})
	}
}

func (f *fixture) retry(t *testing.T) outcome {
	t.Helper()
	ran := false
	r, err := idemtx.Do(t.Context(), f.store, f.request(key), func(context.Context, pgx.Tx) (string, error) {
		ran = true
		return replied, nil
	})
	for _, known := range []error{idemtx.ErrInFlight, idemtx.ErrExpired} {
		if errors.Is(err, known) {
			err = known
		}
	}
	return outcome{ran, r.Replayed, r.Refused, err}
}

// A scope's page tells of its keys alone.
func TestScope(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.do(key, nil)
	f.do("declined-card", idemtx.ErrRefused)
	s := f.serve(idemui.Config{})
	for _, asked := range []string{whose(t).LogID(), "  SHA256:" + whose(t).LogID()[7:] + " ", whose(t).LogID()[7:]} {
		r := s.post("scope", map[string][]string{"scope": {asked}})
		assert.Equal(t, 200, r.status)
		assert.Contains(t, r.body, ">"+key[:8]+"<")
		assert.Contains(t, r.body, ">declined<")
		assert.Contains(t, r.body, "2 rows, the newest first")
	}
	r := s.post("scope", map[string][]string{"scope": {"sha256:000000000000"}})
	assert.Contains(t, r.body, "The table has no row of this scope.")
	assert.NotContains(t, r.body, key[:8])
}

// A scope of more than two parts is found by all of them.
func TestFurtherParts(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.do(key, nil)
	s := f.serve(idemui.Config{})
	form := keyForm(key)
	form.Set("more", "session-1\r\nsession-2\r\n")
	assert.Contains(t, s.post("key", form).body, ">Absent</span>")
	form.Set("more", "\r\n")
	assert.Contains(t, s.post("key", form).body, ">Answered</span>")
}
