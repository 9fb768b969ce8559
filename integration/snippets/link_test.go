package snippets

import (
	"fmt"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode"

	"github.com/stretchr/testify/require"
)

var (
	inlineCode = regexp.MustCompile("`[^`]*`")
	// Also the second bracket of an image, and a definition at the end of a page.
	link    = regexp.MustCompile(`\]\(([^)\s]+)\)|^\[[^\]]+\]:\s+(\S+)`)
	heading = regexp.MustCompile(`^#{1,6} +(.*?)#* *$`)
	toText  = regexp.MustCompile(`\[([^\]]*)\]\([^)]*\)`)
)

// A relative link leads to a file of the repository and, where it names one, to a
// heading of it.
func TestLinksLeadSomewhere(t *testing.T) {
	t.Parallel()
	for _, page := range documents(t) {
		_, prose := split(t, page)
		for i, line := range prose {
			for _, found := range link.FindAllStringSubmatch(inlineCode.ReplaceAllString(line, "`"), -1) {
				if problem := broken(t, page, found[1]+found[2]); problem != "" {
					t.Errorf("%s:%d: %s", page, i+1, problem)
				}
			}
		}
	}
}

func broken(t *testing.T, page, target string) string {
	t.Helper()
	if strings.Contains(target, "://") || strings.HasPrefix(target, "mailto:") {
		return ""
	}
	file, anchor, _ := strings.Cut(target, "#")
	name := path.Join(path.Dir(page), file)
	if file == "" {
		name = page
	}
	if name == ".." || strings.HasPrefix(name, "../") {
		return target + " is outside of the repository"
	}
	info, err := os.Stat(filepath.Join(root, filepath.FromSlash(name)))
	switch {
	case err != nil:
		return target + " does not exist"
	case anchor != "" && (info.IsDir() || !anchors(t, name)[anchor]):
		return target + " names no heading of " + name
	}
	return ""
}

// anchors are those that GitHub gives to the headings of a page.
func anchors(t *testing.T, page string) map[string]bool {
	t.Helper()
	_, prose := split(t, page)
	all := map[string]bool{}
	for _, line := range prose {
		found := heading.FindStringSubmatch(line)
		if found == nil {
			continue
		}
		anchor := slug(found[1])
		for n := 1; all[anchor]; n++ {
			anchor = fmt.Sprintf("%s-%d", slug(found[1]), n)
		}
		all[anchor] = true
	}
	return all
}

func slug(title string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == ' ':
			return '-'
		case r == '-' || r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r):
			return unicode.ToLower(r)
		}
		return -1
	}, strings.TrimSpace(toText.ReplaceAllString(title, "$1")))
}

// The index leads to every page of docs.
func TestIndexIsComplete(t *testing.T) {
	t.Parallel()
	index := read(t, "docs/README.md")
	for _, page := range pages(t) {
		if path.Dir(page) == "docs" && page != "docs/README.md" {
			require.Contains(t, index, "("+path.Base(page)+")")
		}
	}
}
