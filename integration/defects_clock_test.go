package integration

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemtx"
)

// century is longer than any of these tests runs, by whatever clock.
const century = 100 * 365 * 24 * time.Hour

// ageless keeps the pool's housekeeping, which goes by the program's clock, out
// of the way.
func ageless(p *pgxpool.Config, _ *idemtx.Config) {
	p.HealthCheckPeriod, p.MaxConnLifetime, p.MaxConnIdleTime = century, century, century
}

// A program's clock may be wrong, and two programs' clocks differ. If one of them
// decided when a reply is born or dead, one server would run what the other
// replays. Here the program's clock is years behind the server's, and then years
// ahead.
func TestDefectApplicationClock(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, ageless)
		check := func(era string) {
			for _, m := range modes {
				key := era + string(m.name)
				before := now(t)
				first, err := m.do(t.Context(), f, f.request(key), effect(f, key))
				require.NoError(t, err)
				after := now(t)
				require.False(t, first.CreatedAt.Before(before) || first.CreatedAt.After(after), key)
				require.Equal(t, 24*time.Hour, first.ExpiresAt.Sub(first.CreatedAt))
				second, err := m.do(t.Context(), f, f.request(key), mustNotRun(t))
				require.NoError(t, err)
				require.True(t, second.Replayed, key)

				f.expire(key)
				_, err = f.store.Get(t.Context(), f.scope, key)
				require.ErrorIs(t, err, idemtx.ErrNotFound, key)
				third, err := m.do(t.Context(), f, f.request(key), effect(f, key))
				require.NoError(t, err)
				require.False(t, third.Replayed, key)

				f.expire(key)
				n, err := f.store.DeleteExpired(t.Context(), 100)
				require.NoError(t, err)
				require.EqualValues(t, 1, n, key)
				stored, err := f.store.Put(t.Context(), f.scope, key, idemtx.Entry{Response: []byte("1")})
				require.NoError(t, err)
				require.True(t, stored)
				entry, err := f.store.Get(t.Context(), f.scope, key)
				require.NoError(t, err)
				require.False(t, entry.CreatedAt.Before(after), key)
			}
		}
		require.True(t, time.Now().Before(now(t).AddDate(-10, 0, 0)), "the program's clock is not behind")
		check("behind")
		<-time.After(century / 2)
		require.True(t, time.Now().After(now(t).AddDate(10, 0, 0)), "the program's clock is not ahead")
		check("ahead")
	})
}
