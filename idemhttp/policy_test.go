package idemhttp

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestIETFCommitsWhatSucceeds(t *testing.T) {
	t.Parallel()
	for _, p := range []Policy{IETF, {}} {
		for status := 100; status <= 999; status++ {
			want := Forget
			if status >= 200 && status <= 399 {
				want = Commit
			}
			require.Equal(t, want, p.decide(status, http.Header{}), status)
		}
	}
}

func TestADecisionThatWasNotMadeKeepsNothing(t *testing.T) {
	t.Parallel()
	var none Decision
	require.Equal(t, Forget, none)
}
