package snippets

import (
	"io/fs"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var (
	namedTest    = regexp.MustCompile("`(Test[A-Z]\\w*)`")
	declaredTest = regexp.MustCompile(`(?m)^func (Test[A-Z]\w*)\(`)
)

// A test that a page names as a proof is there.
func TestNamedTestsExist(t *testing.T) {
	t.Parallel()
	tests := map[string]bool{}
	require.NoError(t, fs.WalkDir(os.DirFS(root), ".", func(name string, _ fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(name, "_test.go") {
			for _, found := range declaredTest.FindAllStringSubmatch(read(t, name), -1) {
				tests[found[1]] = true
			}
		}
		return err
	}))
	for _, page := range pages(t) {
		for _, found := range namedTest.FindAllStringSubmatch(read(t, page), -1) {
			require.True(t, tests[found[1]], "%s names %s", page, found[1])
		}
	}
}
