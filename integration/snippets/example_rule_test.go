package snippets

import (
	"go/ast"
	"go/build"
	"go/doc"
	"go/parser"
	"go/token"
	"go/types"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

const module = "github.com/idemtx/idemtx/"

// documented are the packages for users. Each exported function and method of them
// has an example, but for one kind of methods: those by which a type implements an
// interface of another package, or what errors.Is and errors.Unwrap look for. What they
// are for is said there, and nobody calls them by name.
var documented = []string{
	"idemtx", "idemhttp", "scope", "idemcache", "idemtxtest", "idemadmin", "idemotel", "idemui", "idemtink",
}

func TestEverythingHasAnExample(t *testing.T) {
	t.Parallel()
	compiled := newCompiled(t)
	for _, name := range documented {
		pkg := documentation(t, name)
		known := compiled.interfaces(t, pkg.Imports)
		for _, f := range pkg.Funcs {
			if len(f.Examples) == 0 {
				t.Errorf("%s.%s has no example", name, f.Name)
			}
		}
		for _, is := range pkg.Types {
			for _, f := range is.Funcs {
				if len(f.Examples) == 0 {
					t.Errorf("%s.%s has no example", name, f.Name)
				}
			}
			for _, m := range is.Methods {
				if len(m.Examples) == 0 && !implements(compiled.named(t, module+name, is.Name), m.Name, known) {
					t.Errorf("%s.%s.%s has no example", name, is.Name, m.Name)
				}
			}
		}
	}
}

// documentation is what pkg.go.dev shows of a package.
func documentation(t *testing.T, name string) *doc.Package {
	t.Helper()
	folder := filepath.Join(root, name)
	found, err := build.ImportDir(folder, 0)
	require.NoError(t, err)
	fset := token.NewFileSet()
	var files []*ast.File
	for _, list := range [][]string{found.GoFiles, found.TestGoFiles, found.XTestGoFiles} {
		for _, file := range list {
			parsed, err := parser.ParseFile(fset, filepath.Join(folder, file), nil, parser.ParseComments)
			require.NoError(t, err)
			files = append(files, parsed)
		}
	}
	pkg, err := doc.NewFromFiles(fset, files, module+name)
	require.NoError(t, err)
	return pkg
}

// implements tells whether a method is one by which its type implements a known
// interface.
func implements(is types.Type, method string, known []*types.Interface) bool {
	for _, i := range known {
		if !types.Implements(is, i) && !types.Implements(types.NewPointer(is), i) {
			continue
		}
		for m := range i.Methods() {
			if m.Name() == method {
				return true
			}
		}
	}
	return false
}
