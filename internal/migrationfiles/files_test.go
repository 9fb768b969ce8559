package migrationfiles

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemtx"
)

var steps = []idemtx.Migration{{Version: 1, Name: "create", SQL: "SELECT 1;\n"}, {Version: 2, Name: "seal", SQL: "SELECT 2;\n"}}

func TestWrite(t *testing.T) {
	t.Parallel()
	for format, want := range map[Format]map[string]string{
		Goose: {"00007_idemtx_create.sql": "-- +goose Up\nSELECT 1;\n", "00008_idemtx_seal.sql": "-- +goose Up\nSELECT 2;\n"},
		Tern:  {"007_idemtx_create.sql": "SELECT 1;\n", "008_idemtx_seal.sql": "SELECT 2;\n"},
		Plain: {"00007_idemtx_create.sql": "SELECT 1;\n", "00008_idemtx_seal.sql": "SELECT 2;\n"},
	} {
		dir := t.TempDir()
		names, err := Write(dir, format, 7, steps)
		require.NoError(t, err)
		got := map[string]string{}
		for _, name := range names {
			text, err := os.ReadFile(name)
			require.NoError(t, err)
			got[filepath.Base(name)] = string(text)
		}
		require.Equal(t, want, got)
	}
}

// All files or none, and none of somebody else's.
func TestWriteReplacesNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	theirs := filepath.Join(dir, "002_idemtx_seal.sql")
	require.NoError(t, os.WriteFile(theirs, []byte("theirs"), 0o600))
	_, err := Write(dir, Tern, 1, steps)
	require.ErrorContains(t, err, "is there already")
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, entries, 1)
	text, err := os.ReadFile(theirs)
	require.NoError(t, err)
	require.Equal(t, "theirs", string(text))
}

func TestWriteRefuses(t *testing.T) {
	t.Parallel()
	_, err := Write(t.TempDir(), "flyway", 1, steps)
	require.EqualError(t, err, "the format must be one of [goose tern plain]")
	_, err = Write(t.TempDir(), Goose, 0, steps)
	require.EqualError(t, err, "the first number must be at least 1")
	_, err = Write(filepath.Join(t.TempDir(), "missing"), Goose, 1, steps)
	require.ErrorIs(t, err, os.ErrNotExist)
}
