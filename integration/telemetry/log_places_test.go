package telemetry

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Whoever adds a line to the log adds a test to log_test.go that provokes it.
func TestThereIsNoOtherLine(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("../../idemtx/*.go")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	var messages []string
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		require.NoError(t, err)
		ast.Inspect(file, func(n ast.Node) bool {
			if call, ok := n.(*ast.CallExpr); ok && logs(call) {
				messages = append(messages, messageOf(call)...)
			}
			return true
		})
	}
	require.ElementsMatch(t, []string{sweepFailed, notRenewed, notReleased}, messages)
}

// logs tells calls of a logger's methods, and of the one in which idemtx wraps them.
func logs(call *ast.CallExpr) bool {
	method, ok := call.Fun.(*ast.SelectorExpr)
	if !ok {
		return false
	}
	switch method.Sel.Name {
	case "LogAttrs", "Log", "warn", "Debug", "DebugContext", "Info", "InfoContext", "Warn", "WarnContext", "Error", "ErrorContext":
		return true
	}
	return false
}

// messageOf are the texts among the arguments of a call.
func messageOf(call *ast.CallExpr) (texts []string) {
	for _, argument := range call.Args {
		if text, ok := argument.(*ast.BasicLit); ok && text.Kind == token.STRING {
			unquoted, _ := strconv.Unquote(text.Value)
			texts = append(texts, unquoted)
		}
	}
	return texts
}
