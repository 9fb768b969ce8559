package snippets

import (
	"bytes"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/cmd/idemtx/command"
)

// Each line of a shell block is a command that is known here, with arguments that it
// takes.
func TestShellBlocksName(t *testing.T) {
	t.Parallel()
	for _, page := range documents(t) {
		for _, b := range blocksIn(t, page, "sh") {
			for line := range strings.Lines(strings.ReplaceAll(b.text, "\\\n", " ")) {
				words := wordsOf(line)
				if len(words) == 0 {
					continue
				}
				if problem := unknownIn(t, words); problem != "" {
					t.Errorf("%s:%d: %s: %s", b.page, b.line, strings.TrimSpace(line), problem)
				}
			}
		}
	}
}

var word = regexp.MustCompile(`'[^']*'|\S+`)

// wordsOf are the words of a line without its comment and where its output goes, and
// without the variables that are set in front of it.
func wordsOf(line string) []string {
	var words []string
	for _, w := range word.FindAllString(line, -1) {
		if strings.HasPrefix(w, "#") || strings.HasPrefix(w, ">") {
			break
		}
		if len(words) == 0 && assignment.MatchString(w) {
			continue
		}
		words = append(words, strings.Trim(w, "'"))
	}
	return words
}

var assignment = regexp.MustCompile(`^[A-Z_]+=`)

// migrators are programs of others. The module interop has what they do tried by their
// libraries.
var migrators = []string{"goose", "tern", "atlas"}

func unknownIn(t *testing.T, words []string) string {
	t.Helper()
	switch {
	case words[0] == "idemtx":
		return unknownToIdemtx(t, words[1:])
	case words[0] == "go" && len(words) > 2:
		return unknownToGo(t, words[1:])
	case slices.Contains(migrators, words[0]):
		return ""
	}
	return "nothing here knows this command"
}

// unknownToIdemtx asks for the help of a command with all of its flags, which are
// parsed first.
func unknownToIdemtx(t *testing.T, args []string) string {
	t.Helper()
	var out, problem bytes.Buffer
	program := &command.Program{In: &bytes.Buffer{}, Out: &out, Err: &problem, Getenv: func(string) string { return "" }}
	code := program.Run(t.Context(), append(args[:len(args):len(args)], "--help"))
	var names []string
	for _, arg := range args {
		if strings.HasPrefix(arg, "-") {
			break
		}
		names = append(names, arg)
	}
	switch {
	case code != 0:
		return problem.String()
	case !strings.Contains(out.String(), "\n  idemtx "+strings.Join(names, " ")+" ") &&
		!strings.Contains(out.String(), "\n  idemtx "+strings.Join(names, " ")+"\n"):
		return "there is no such command"
	}
	return ""
}

// unknownToGo looks for the packages that go is to run or test, and in their source for
// the flags and tests that are named.
func unknownToGo(t *testing.T, args []string) string {
	t.Helper()
	folder := ""
	if args[0] == "-C" {
		folder, args = args[1], args[2:]
	}
	if args[0] == "install" || args[0] == "get" {
		name, _, _ := strings.Cut(strings.TrimPrefix(args[1], "github.com/idemtx/idemtx"), "@")
		return missing(t, name)
	}
	var sources strings.Builder
	for i, arg := range args[1:] {
		switch {
		case arg == "." || strings.HasPrefix(arg, "./"):
			name := path.Join(folder, strings.TrimSuffix(arg, "..."))
			if problem := missing(t, name); problem != "" {
				return problem
			}
			sources.WriteString(sourceIn(t, name))
		case strings.HasPrefix(arg, "-run") && args[0] == "test":
			tests := regexp.MustCompile(strings.SplitN(strings.TrimPrefix(args[i+2], "="), "/", 2)[0])
			if !declares(sources.String(), tests) {
				return "no test is called so"
			}
		case strings.HasPrefix(arg, "-"):
			flag, _, _ := strings.Cut(strings.TrimPrefix(arg, "-"), "=")
			ofGo := args[0] == "test" && strings.Contains(" timeout count race v short bench fuzz fuzztime benchtime ", " "+flag+" ")
			if !ofGo && !strings.Contains(sources.String(), `"`+flag+`"`) {
				return "there is no flag -" + flag
			}
		}
	}
	return ""
}

func missing(t *testing.T, folder string) string {
	t.Helper()
	if len(goFiles(t, folder)) == 0 && folder != "." && folder != "" {
		return "there is no package in " + folder
	}
	return ""
}

func goFiles(t *testing.T, folder string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(root, filepath.FromSlash(folder), "*.go"))
	require.NoError(t, err)
	return files
}

func sourceIn(t *testing.T, folder string) string {
	t.Helper()
	var all strings.Builder
	for _, name := range goFiles(t, folder) {
		text, err := os.ReadFile(name)
		require.NoError(t, err)
		all.Write(text)
	}
	return all.String()
}

func declares(source string, tests *regexp.Regexp) bool {
	for _, found := range declaredTest.FindAllStringSubmatch(source, -1) {
		if tests.MatchString(found[1]) {
			return true
		}
	}
	return false
}
