package snippets

import (
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// compiled knows the types of packages.
type compiled struct{ types.Importer }

// exports has go compile the packages that users import, with all that these import,
// and tells by path where it has written what they export.
var exports = sync.OnceValues(func() (map[string]string, error) {
	args := []string{"list", "-deps", "-export", "-f", "{{.ImportPath}}\t{{.Export}}"}
	for _, name := range documented {
		args = append(args, module+name)
	}
	list := exec.Command("go", args...)
	list.Stderr = os.Stderr
	out, err := list.Output()
	files := map[string]string{}
	for line := range strings.Lines(string(out)) {
		path, file, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
		files[path] = file
	}
	return files, err
})

// newCompiled reads what is exported. It is for one goroutine.
func newCompiled(t *testing.T) compiled {
	t.Helper()
	files, err := exports()
	require.NoError(t, err)
	return compiled{importer.ForCompiler(token.NewFileSet(), "gc", func(path string) (io.ReadCloser, error) {
		return os.Open(files[path])
	})}
}

func (c compiled) named(t *testing.T, path, name string) types.Type {
	t.Helper()
	pkg, err := c.Import(path)
	require.NoError(t, err)
	return pkg.Scope().Lookup(name).Type()
}

// ofErrors is what package errors looks for and does not name.
const ofErrors = `package errors
type is interface { Is(error) bool }
type unwrap interface { Unwrap() error }`

// interfaces are the exported ones of the packages that are imported, and those that
// have no name.
func (c compiled) interfaces(t *testing.T, imports []string) []*types.Interface {
	t.Helper()
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, "errors.go", ofErrors, 0)
	require.NoError(t, err)
	unnamed, err := new(types.Config).Check("errors", fset, []*ast.File{file}, nil)
	require.NoError(t, err)
	known := interfacesOf(unnamed)
	known = append(known, types.Universe.Lookup("error").Type().Underlying().(*types.Interface))

	for _, path := range append(imports, "fmt", "encoding", "log/slog") { // which find methods at run time
		pkg, err := c.Import(path)
		require.NoError(t, err)
		known = append(known, interfacesOf(pkg)...)
	}
	return known
}

func interfacesOf(pkg *types.Package) (found []*types.Interface) {
	for _, name := range pkg.Scope().Names() {
		is, ok := pkg.Scope().Lookup(name).(*types.TypeName)
		if !ok {
			continue
		}
		if i, ok := is.Type().Underlying().(*types.Interface); ok && i.NumMethods() > 0 {
			found = append(found, i)
		}
	}
	return found
}
