package devpg

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"
)

func works(name string) source {
	return source{name, func(context.Context) (*Server, error) { return &Server{from: name}, nil }}
}

func fails(name string, err error) source {
	return source{name, func(context.Context) (*Server, error) { return nil, err }}
}

// startLogged is start with what it logs.
func startLogged(t *testing.T, forced string, sources ...source) (lines []string, err error) {
	t.Helper()
	s, err := start(t.Context(), func(line string) { lines = append(lines, line) }, forced, sources)
	if s != nil {
		t.Cleanup(s.Close)
	}
	return lines, err
}

func TestOrder(t *testing.T) {
	t.Parallel()
	unset := fails("url", errUnset)
	noEngine := fails("container", errors.New("no container engine:\n\tnobody answers"))
	noBinaries := fails("binaries", errors.New("no PostgreSQL binaries"))

	t.Run("FirstWins", func(t *testing.T) {
		t.Parallel()
		lines, err := startLogged(t, "", works("url"), works("container"), works("binaries"))
		require.NoError(t, err)
		require.Equal(t, []string{"devpg: PostgreSQL  from url"}, lines)
	})
	t.Run("OneLineSaysWhyOthersArePassedOver", func(t *testing.T) {
		t.Parallel()
		lines, err := startLogged(t, "", unset, noEngine, works("binaries"))
		require.NoError(t, err)
		require.Equal(t, []string{"devpg: PostgreSQL  from binaries " +
			"(DATABASE_URL is not set; no container engine: nobody answers)"}, lines)
	})
	t.Run("ForcedIgnoresOthers", func(t *testing.T) {
		t.Parallel()
		lines, err := startLogged(t, "binaries", works("url"), works("container"), works("binaries"))
		require.NoError(t, err)
		require.Equal(t, []string{"devpg: PostgreSQL  from binaries"}, lines)
	})
	t.Run("ForcedIsNotReplaced", func(t *testing.T) {
		t.Parallel()
		for _, forced := range []string{"url", "container", "binaries"} {
			lines, err := startLogged(t, forced, unset, noEngine, noBinaries, works("anything"))
			require.ErrorContains(t, err, "IDEMTX_POSTGRES="+forced+": ")
			require.Empty(t, lines)
		}
	})
	t.Run("BrokenURLIsNotReplaced", func(t *testing.T) {
		t.Parallel()
		_, err := startLogged(t, "", fails("url", errors.New("refused")), works("container"))
		require.ErrorContains(t, err, "refused")
	})
	t.Run("UnknownNamesTheAllowed", func(t *testing.T) {
		t.Parallel()
		_, err := startLogged(t, "docker", works("url"), works("container"), works("binaries"))
		require.ErrorContains(t, err, `"docker"`)
		require.ErrorContains(t, err, "url, container or binaries")
	})
	t.Run("NoneSaysWhatToInstall", func(t *testing.T) {
		t.Parallel()
		_, err := startLogged(t, "", unset, noEngine, noBinaries)
		for _, part := range []string{
			"set DATABASE_URL", "start Docker", "apt-get install postgresql",
			"DATABASE_URL is not set", "nobody answers", "no PostgreSQL binaries",
		} {
			require.ErrorContains(t, err, part)
		}
	})
	t.Run("CancelledStopsTrying", func(t *testing.T) {
		t.Parallel()
		ctx, cancel := context.WithCancel(t.Context())
		cancelling := source{"container", func(ctx context.Context) (*Server, error) {
			cancel()
			return nil, ctx.Err()
		}}
		_, err := start(ctx, func(string) {}, "", []source{unset, cancelling, works("binaries")})
		require.ErrorIs(t, err, context.Canceled)
	})
}

func TestCloseTwiceStopsOnce(t *testing.T) {
	t.Parallel()
	stopped := 0
	s := &Server{stop: func() error { stopped++; return nil }}
	s.Close()
	s.Close()
	require.Equal(t, 1, stopped)
}
