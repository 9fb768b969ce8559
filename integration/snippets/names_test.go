package snippets

import (
	"go/types"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var (
	codeSpan  = regexp.MustCompile("`[^`]+`")
	qualified = regexp.MustCompile(`\b(\w+)\.([A-Z]\w*)(?:\.([A-Z]\w*))?`)
)

// What the prose of a page calls by a name of Go, such as idemtx.Do, Config.TTL or
// idemtx.Config.TTL, is there.
func TestNamesExist(t *testing.T) {
	t.Parallel()
	compiled := newCompiled(t)
	for _, page := range pages(t) {
		_, prose := split(t, page)
		for i, line := range prose {
			for _, span := range codeSpan.FindAllString(line, -1) {
				for _, found := range qualified.FindAllStringSubmatch(span, -1) {
					if !compiled.knows(t, slices.DeleteFunc(found[1:], func(s string) bool { return s == "" })) {
						t.Errorf("%s:%d: there is no %s", page, i+1, found[0])
					}
				}
			}
		}
	}
}

// knows tells whether a name is there, in the package that it begins with or in any. A
// package or a type of somebody else's is nothing to know of.
func (c compiled) knows(t *testing.T, name []string) bool {
	t.Helper()
	inPackages := documented
	if slices.Contains(documented, name[0]) {
		inPackages, name = name[:1], name[1:]
	} else if strings.ToLower(name[0]) == name[0] {
		return true
	}
	known := false
	for _, folder := range inPackages {
		pkg, err := c.Import(module + folder)
		require.NoError(t, err)
		object := pkg.Scope().Lookup(name[0])
		if object == nil {
			continue
		}
		known = true
		if len(name) == 1 {
			return true
		}
		if member, _, _ := types.LookupFieldOrMethod(object.Type(), true, pkg, name[1]); member != nil {
			return true
		}
	}
	return !known && len(inPackages) > 1
}
