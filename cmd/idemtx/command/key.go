package command

import (
	"bufio"
	"errors"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/idemtx/idemtx/scope"
)

// whose are the flags and the argument that say which key.
type whose struct {
	tenant, principal string
	more              []string
	fromStdin         bool
}

func (w *whose) flags(c *cobra.Command) {
	f := c.Flags()
	f.StringVar(&w.tenant, "tenant", "", "tenant of the scope; may be empty")
	f.StringVar(&w.principal, "principal", "", "principal of the scope")
	f.StringArrayVar(&w.more, "more", nil, "a further part of the scope; may be repeated")
	f.BoolVar(&w.fromStdin, "key-stdin", false, "read the key from the first line of standard input, as with - for the key")
}

func (w *whose) scope() (scope.Scope, error) {
	if w.principal == "" {
		return scope.Scope{}, misuse("--principal is needed: it says whose key it is")
	}
	return scope.New(w.tenant, w.principal, w.more...)
}

// read reads whose key it is and the key, which is for before the database is asked:
// people take their time.
func (w *whose) read(args []string, in *bufio.Reader) (sc scope.Scope, key string, err error) {
	if sc, err = w.scope(); err == nil {
		key, err = w.key(args, in)
	}
	return sc, key, err
}

// key is the argument, or the first line of in.
func (w *whose) key(args []string, in *bufio.Reader) (string, error) {
	if len(args) == 1 && args[0] != "-" {
		if w.fromStdin {
			return "", misuse("the key is either an argument or on standard input")
		}
		return args[0], nil
	}
	if len(args) == 0 && !w.fromStdin {
		return "", misuse("a key is needed: as an argument or, to keep it out of the process list, with --key-stdin")
	}
	line, err := in.ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return "", misuse("the key cannot be read from standard input: %w", err)
	}
	return strings.TrimSuffix(strings.TrimSuffix(line, "\n"), "\r"), nil
}

// redacted is as much of a key as others may see.
func redacted(key string) string {
	if len(key) <= 8 {
		return "****"
	}
	return key[:8]
}
