package snippets

import (
	"os"
	"path"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// sourceOf is the compiled file that has the code of a page.
func sourceOf(page string) string {
	return "page_" + strings.ReplaceAll(strings.ToLower(strings.TrimSuffix(path.Base(page), ".md")), "-", "_") + "_test.go"
}

// elsewhere are compiled files beside those that have code of README.md.
var elsewhere = map[string][]string{"README.md": {"../readme_test.go", "readme/readme_test.go"}}

// A block is in the compiled file of its page to the letter: as declarations, or as
// statements one tab deeper, in a function.
func TestGoBlocksAreCompiled(t *testing.T) {
	t.Parallel()
	for _, page := range pages(t) {
		blocks := blocksIn(t, page, "go")
		if len(blocks) == 0 {
			continue
		}
		var source strings.Builder
		for _, name := range append(elsewhere[page], sourceOf(page)) {
			text, err := os.ReadFile(name)
			require.NoError(t, err, page)
			source.WriteString("\n" + string(text))
		}
		for _, b := range blocks {
			declared := strings.Contains(source.String(), "\n"+b.text)
			within := strings.Contains(source.String(), "\n"+indented(b.text))
			require.True(t, declared || within, "%s:%d: this code is not in %s", b.page, b.line, sourceOf(page))
		}
	}
}

func indented(text string) string {
	lines := strings.SplitAfter(text, "\n")
	for i, line := range lines {
		if strings.TrimSpace(line) != "" {
			lines[i] = "\t" + line
		}
	}
	return strings.Join(lines, "")
}
