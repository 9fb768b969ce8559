package command

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// The files are the library's steps, and make its table.
func TestSchemaMigrations(t *testing.T) {
	t.Parallel()
	f, dir := newEmpty(t), t.TempDir()
	command := func(args ...string) *run {
		return (&run{f: f}).with(append([]string{"--database-url", "postgres://127.0.0.1:1/nothing", "schema", "migrations", "--dir", dir}, args...)...)
	}
	command("--first", "7").exits(0)
	for i, name := range []string{"00007_idemtx_create.sql", "00008_idemtx_retain_and_seal.sql", "00009_idemtx_validate.sql"} {
		text, err := os.ReadFile(filepath.Join(dir, name))
		require.NoError(t, err)
		require.Equal(t, f.store.Migrations()[i].SQL, string(text))
		f.exec(string(text))
	}
	f.command("schema", "verify").exits(0)

	// Those that are there stay.
	require.Contains(t, command("--first", "7").exits(2).err, "is there already")
	told := decode[struct{ Files []string }](command("--format", "goose", "--after", "1", "--json").exits(0))
	require.Equal(t, []string{
		filepath.Join(dir, "00001_idemtx_retain_and_seal.sql"), filepath.Join(dir, "00002_idemtx_validate.sql"),
	}, told.Files)
	require.Empty(t, decode[struct{ Files []string }](command("--after", "3", "--json").exits(0)).Files)
	require.Contains(t, command("--after", "4").exits(2).err, "--after must be from 0 to 3")
	require.Contains(t, command("--format", "flyway").exits(2).err, "the format must be one of")
}
