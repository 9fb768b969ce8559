package command

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemadmin"
	"github.com/idemtx/idemtx/idemtx"
	"github.com/idemtx/idemtx/scope"
)

// What a log tells is enough to find the rows, the newest first, and tells nobody
// whose they are.
func TestSearch(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for _, key := range []string{"key-second", "k", "key-first", "key-third"} {
		f.stored(key)
	}
	f.age("key-first", "25 hours")
	f.age("key-second", "2 hours")
	f.age("k", "1 hour")
	f.due(1)
	// A name that is longer in UTF-8 than in characters.
	other, err := scope.New(tenant, "Jürgen Müßig")
	require.NoError(t, err)
	r := f.request("key-other")
	r.Scope = other
	_, err = idemtx.Do(t.Context(), f.store, r, answered)
	require.NoError(t, err)

	entries, err := idemadmin.Search(t.Context(), f.store, f.scope.LogID(), 10)
	require.NoError(t, err)
	var seen []string
	for _, e := range entries {
		seen = append(seen, fmt.Sprint(e.Key, " ", e.State))
		require.Equal(t, f.scope.LogID(), e.ScopeLogID)
		require.NotZero(t, e.Fingerprint)
	}
	require.Equal(t, []string{"key-thir answered", "**** answered", "key-seco answered", "key-firs expired"}, seen)

	entries, err = idemadmin.Search(t.Context(), f.store, f.scope.LogID(), 2)
	require.NoError(t, err)
	require.Len(t, entries, 2)
	entries, err = idemadmin.Search(t.Context(), f.store, other.LogID(), 2)
	require.NoError(t, err)
	require.Len(t, entries, 1)

	for _, wrong := range []string{"", "sha256:", "sha256:0123456789ab' OR true", "sha256:0123456789AB", f.scope.Key()} {
		_, err = idemadmin.Search(t.Context(), f.store, wrong, 2)
		require.ErrorIs(t, err, idemtx.ErrInvalidRequest)
		if wrong != "" {
			require.NotContains(t, err.Error(), wrong+"'")
			require.NotContains(t, err.Error(), f.scope.Key())
		}
	}
	for _, limit := range []int{-1, 0, 10_001} {
		_, err = idemadmin.Search(t.Context(), f.store, f.scope.LogID(), limit)
		require.ErrorIs(t, err, idemtx.ErrInvalidRequest)
		_, err = idemadmin.InFlight(t.Context(), f.store, limit)
		require.ErrorIs(t, err, idemtx.ErrInvalidRequest)
	}
}

func TestInFlight(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.claim("claim-dead-one", "-1 minute")
	f.claim("claim-young-one", "1 minute")
	f.claim("claim-old-one", "2 minutes")
	f.exec("UPDATE {table} SET created_at = created_at - interval '1 hour' WHERE key = 'claim-old-one'")
	f.flyDo(f.store, key)
	f.stored("key-answered")

	flights, err := idemadmin.InFlight(t.Context(), f.store, 10)
	require.NoError(t, err)
	require.Len(t, flights, 2)
	require.Equal(t, "claim-ol", flights[0].Key)
	require.Equal(t, "claim-yo", flights[1].Key)
	require.Equal(t, f.scope.LogID(), flights[0].ScopeLogID)
	require.True(t, flights[0].Since.Before(flights[1].Since))
	require.True(t, flights[0].LeaseUntil.After(flights[1].LeaseUntil))
	flights, err = idemadmin.InFlight(t.Context(), f.store, 1)
	require.NoError(t, err)
	require.Len(t, flights, 1)
	require.Equal(t, "claim-ol", flights[0].Key)
}
