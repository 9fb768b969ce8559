package snippets

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// root is the repository, seen from here.
const root = "../.."

// block is a fenced piece of code in a page.
type block struct {
	page     string // its path from the root, with slashes
	line     int    // of its fence
	language string
	text     string // without the fences, with the last newline
}

// pages are the ones for users, whose code is checked: README.md and those in docs.
func pages(t *testing.T) []string {
	t.Helper()
	names := []string{"README.md"}
	entries, err := os.ReadDir(filepath.Join(root, "docs"))
	require.NoError(t, err)
	for _, entry := range entries {
		if strings.HasSuffix(entry.Name(), ".md") {
			names = append(names, "docs/"+entry.Name())
		}
	}
	return names
}

// documents are all pages of the repository.
func documents(t *testing.T) []string {
	t.Helper()
	var names []string
	require.NoError(t, fs.WalkDir(os.DirFS(root), ".", func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && name != "." && strings.HasPrefix(entry.Name(), "."):
			return fs.SkipDir
		case strings.HasSuffix(name, ".md"):
			names = append(names, name)
		}
		return nil
	}))
	return names
}

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(name)))
	require.NoError(t, err)
	return string(text)
}

// split divides a page into its blocks and the prose between them, in which each
// line keeps its number: those of the blocks are empty.
func split(t *testing.T, page string) (blocks []block, prose []string) {
	t.Helper()
	var open *block
	for i, line := range strings.Split(read(t, page), "\n") {
		language, fence := strings.CutPrefix(line, "```")
		kept := ""
		switch {
		case fence && open == nil:
			open = &block{page: page, line: i + 1, language: language}
		case fence:
			require.Empty(t, language, "%s:%d: a block begins within a block", page, i+1)
			blocks, open = append(blocks, *open), nil
		case open != nil:
			open.text += line + "\n"
		default:
			require.NotContains(t, line, "```", "%s:%d: a fence begins its line, or its code is not checked", page, i+1)
			kept = line
		}
		prose = append(prose, kept)
	}
	require.Nil(t, open, "%s: a block does not end", page)
	return blocks, prose
}

// blocksIn are the blocks of a page in one language.
func blocksIn(t *testing.T, page, language string) []block {
	t.Helper()
	var found []block
	blocks, _ := split(t, page)
	for _, b := range blocks {
		if b.language == language {
			found = append(found, b)
		}
	}
	return found
}

// Code in a language that nothing here checks would rot.
func TestLanguages(t *testing.T) {
	t.Parallel()
	checked := []string{"go", "sql", "sh"}
	plain := []string{"", "ini"} // what programs print, and settings of programs that are not PostgreSQL
	for _, page := range pages(t) {
		blocks, _ := split(t, page)
		for _, b := range blocks {
			require.Contains(t, append(checked, plain...), b.language, "%s:%d", b.page, b.line)
		}
	}
}
