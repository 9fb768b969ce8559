package command

import (
	"encoding/hex"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemadmin"
	"github.com/idemtx/idemtx/idemtx"
)

// status is what lookup --json tells.
type status struct {
	Scope, Key, State, Fingerprint, KeyID, Prepared string
	Since                                           time.Time
	CreatedAt                                       time.Time `json:"created_at"`
	ExpiresAt                                       time.Time `json:"expires_at"`
	LeaseUntil                                      time.Time `json:"lease_until"`
	RetainUntil                                     time.Time `json:"retain_until"`
	Bytes                                           int64
	Sealed                                          bool
	KeyName                                         string `json:"key_id"`
	Pid                                             int32
	Reply                                           *struct {
		Response any
		Body     []byte
	}
}

// key is longer than what may be seen of it.
const key = "key-number-one"

// look asks in all ways, which have to agree.
func (f *fixture) look(key string, code int) idemadmin.Status {
	f.t.Helper()
	is, err := idemadmin.Look(f.t.Context(), f.store, f.scope, key)
	require.NoError(f.t, err)
	told := decode[status](f.lookup(key, "--json").exits(code))
	require.Equal(f.t, f.scope.LogID(), told.Scope)
	require.Equal(f.t, key[:8], told.Key)
	require.Nil(f.t, told.Reply)
	if told.Fingerprint != "" {
		require.Equal(f.t, hex.EncodeToString(is.Fingerprint[:]), told.Fingerprint)
		copy(is.Fingerprint[:], make([]byte, 32))
	}
	utc := func(ts time.Time) time.Time {
		if ts.IsZero() {
			return ts
		}
		return ts.UTC()
	}
	require.Equal(f.t, idemadmin.Status{
		State: is.State, Since: utc(is.Since), CreatedAt: utc(is.CreatedAt), ExpiresAt: utc(is.ExpiresAt),
		LeaseUntil: utc(is.LeaseUntil), RetainUntil: utc(is.RetainUntil), Bytes: is.Bytes, Sealed: is.Sealed,
		KeyID: is.KeyID, Pid: is.Pid, Prepared: is.Prepared,
	}, idemadmin.Status{
		State: idemadmin.State(told.State), Since: told.Since, CreatedAt: told.CreatedAt, ExpiresAt: told.ExpiresAt,
		LeaseUntil: told.LeaseUntil, RetainUntil: told.RetainUntil, Bytes: told.Bytes, Sealed: told.Sealed,
		KeyID: told.KeyName, Pid: told.Pid, Prepared: told.Prepared,
	})
	text := f.lookup(key).exits(code)
	require.Contains(f.t, text.out, string(is.State))
	require.Contains(f.t, text.out, key[:8])
	is, err = idemadmin.Look(f.t.Context(), f.store, f.scope, key)
	require.NoError(f.t, err)
	return is
}

func TestLookAbsent(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.stored("another key")
	require.Equal(t, idemadmin.Status{State: idemadmin.StateAbsent}, f.look(key, 1))
}

func TestLookAnswered(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.stored(key)
	is := f.look(key, 0)
	require.Equal(t, idemadmin.StateAnswered, is.State)
	require.Equal(t, is.CreatedAt, is.Since)
	require.Equal(t, 24*time.Hour, is.ExpiresAt.Sub(is.CreatedAt))
	require.Zero(t, is.LeaseUntil)
	require.Zero(t, is.RetainUntil)
	require.Positive(t, is.Bytes)
	require.Zero(t, is.Pid)
	r := f.request(key)
	fingerprint, err := idemtx.FingerprintOf(r.Operation, r.Payload)
	require.NoError(t, err)
	require.Equal(t, fingerprint, is.Fingerprint)
}

func TestLookRefused(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.refused(key)
	require.Equal(t, idemadmin.StateRefused, f.look(key, 0).State)
}

// What has expired has done so when its time was over, and not when it was made.
func TestLookExpired(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.stored(key)
	f.age(key, "25 hours")
	is := f.look(key, 0)
	require.Equal(t, idemadmin.StateExpired, is.State)
	require.Equal(t, is.ExpiresAt, is.Since)
}

func TestLookTombstone(t *testing.T) {
	t.Parallel()
	f := newFixture(t, withConfig(func(c *idemtx.Config) {
		c.OnExpired, c.Retention = idemtx.RefuseExpired, 48*time.Hour
	}))
	f.stored(key)
	f.age(key, "25 hours")
	require.NotZero(t, f.look(key, 0).Since)
	n, err := f.store.DeleteExpired(t.Context(), 10)
	require.NoError(t, err)
	require.EqualValues(t, 1, n)
	is := f.look(key, 0)
	require.Equal(t, idemadmin.StateExpired, is.State)
	require.Zero(t, is.Since, "nobody knows it")
	require.Zero(t, is.Bytes)
	require.NotZero(t, is.Fingerprint)
	require.NotZero(t, is.RetainUntil)
	require.Equal(t, is.RetainUntil, is.ExpiresAt)
}

func TestLookInFlightByClaim(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	call := f.flyPool(key)
	is, err := idemadmin.Look(t.Context(), f.store, f.scope, key)
	require.NoError(t, err)
	require.Equal(t, idemadmin.StateInFlight, is.State)
	require.Equal(t, is.CreatedAt, is.Since)
	require.NotZero(t, is.LeaseUntil)
	require.NotZero(t, is.Fingerprint)
	require.Zero(t, is.Bytes)
	require.Equal(t, "in_flight", decode[status](f.lookup(key, "--json").exits(0)).State)
	require.NoError(t, call.land())
	require.Equal(t, idemadmin.StateAnswered, f.look(key, 0).State)
}

// A claim whose lease has ended is over, although its reply would not have expired.
func TestLookDeadClaim(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.claim(key, "-1 minute")
	is := f.look(key, 0)
	require.Equal(t, idemadmin.StateExpired, is.State)
	require.Equal(t, is.LeaseUntil, is.Since)
	require.True(t, is.ExpiresAt.After(is.LeaseUntil))
}

// claim adds a claim of a process that has died, with what is left of its lease.
func (f *fixture) claim(key, left string) {
	f.t.Helper()
	f.exec(`INSERT INTO {table} (scope, key, fingerprint, lease_id, lease_until, created_at, expires_at)
		VALUES ($1, $2, sha256('x'), gen_random_uuid(), now() + $3::text::interval, now() - interval '2 minutes', now() + interval '1 day')`,
		f.scope.Key(), key, left)
}

// Before it commits a call has no row: only its lock tells. So it is with an expired
// row, which stays until the commit.
func TestLookInFlightByLock(t *testing.T) {
	t.Parallel()
	for name, before := range map[string]func(*fixture){
		"without a row": func(*fixture) {},
		"expired": func(f *fixture) {
			f.stored(key)
			f.age(key, "25 hours")
		},
		"dead claim": func(f *fixture) { f.claim(key, "-1 minute") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			before(f)
			call := f.flyDo(f.store, key)
			is := f.look(key, 0)
			require.Equal(t, idemadmin.StateInFlight, is.State)
			require.Equal(t, call.pid, is.Pid)
			began := ask[time.Time](f, "SELECT xact_start FROM pg_stat_activity WHERE pid = $1", call.pid)
			require.True(t, began.Equal(is.Since))
			require.Equal(t, name == "without a row", is.CreatedAt.IsZero())

			other := f.look("key-number-two", 1)
			require.Equal(t, idemadmin.StateAbsent, other.State)
			require.NoError(t, call.land())
			is = f.look(key, 0)
			require.Equal(t, idemadmin.StateAnswered, is.State)
			require.Zero(t, is.Pid)
		})
	}
}

// The lock of a store on another table of this name is another one.
func TestLookIsOfOneTable(t *testing.T) {
	t.Parallel()
	f, other := newFixture(t), newFixture(t)
	f.flyDo(f.store, key)
	require.Equal(t, idemadmin.StateAbsent, other.look(key, 1).State)
}
