package interop

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemhttp"
)

// TestRecoveryInside shows why recovery belongs around the protection. Inside it
// is as good only as long as the handler has written nothing.
func TestRecoveryInside(t *testing.T) {
	t.Parallel()
	for _, r := range []router{
		{"chi", serveChiRecoverer},
		{"echo", serveEchoRecover},
		{"gin", serveGinRecovery},
	} {
		t.Run(r.name+" undoes", func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			url := r.serve(t, f.protection(idemhttp.IETF), func(x exchange) error {
				if err := f.effect(x.Context(), "panics"); err != nil {
					return err
				}
				panic("the printer is on fire")
			})
			got := send(t, post(t, url, "panics", "{}"))
			require.Equal(t, http.StatusInternalServerError, got.status)
			require.Zero(t, f.effects())
			require.Zero(t, f.replies())
		})
		t.Run(r.name+" does not undo what was answered", func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			url := r.serve(t, f.protection(idemhttp.IETF), func(x exchange) error {
				if err := f.creating("panics")(x); err != nil {
					return err
				}
				panic("the printer is on fire")
			})
			got := send(t, post(t, url, "panics", "{}"))
			require.Equal(t, http.StatusCreated, got.status)
			require.Equal(t, 1, f.effects())
		})
	}
}
