package outbox

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestTheProviderFails has the first call fail, for the time being. The next attempt
// has the same key.
func TestTheProviderFails(t *testing.T) {
	t.Parallel()
	for name, status := range map[string]int{
		"down":            http.StatusServiceUnavailable,
		"busy with a key": http.StatusConflict,
		"redirected":      http.StatusFound,
		"gone":            hangUp,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t)
			s.desk.turnAway(status)
			s.worker("worker").placed(false)
			s.confirmed()
			require.Len(t, s.desk.seen(), 2)
			require.NotContains(t, ask[string](s, "SELECT errors[1]::text FROM {schema}.river_job"), s.downstreamKey())
		})
	}
}

// TestTheProviderRefuses: a mail that the provider will never send is not tried again.
// The order stays.
func TestTheProviderRefuses(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.desk.turnAway(http.StatusUnprocessableEntity)
	s.worker("worker").placed(false)
	s.until("the job is cancelled", func() bool { return s.job() == "cancelled" })
	require.Equal(t, counts{orders: 1, replies: 1, jobs: 1}, s.count())
	require.Len(t, s.desk.seen(), 1)
}
