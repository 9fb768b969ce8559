package command

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/idemtx/idemtx/idemtx"
)

// The exit codes.
const (
	fine     = 0
	found    = 1
	misused  = 2
	database = 3
)

// exit is an error with its code. Without a cause everything is said already.
type exit struct {
	code  int
	cause error
}

func (e *exit) Error() string {
	if e.cause == nil {
		return ""
	}
	return e.cause.Error()
}

func (e *exit) Unwrap() error { return e.cause }

// errFound is for what the output tells.
var errFound = &exit{code: found}

func misuse(format string, args ...any) error {
	return &exit{misused, fmt.Errorf(format, args...)}
}

// runs makes a command of f. What it returns without a code is of the database,
// and what cobra returns by itself is of the command line.
func runs(f func(ctx context.Context, args []string) error) func(*cobra.Command, []string) error {
	return func(c *cobra.Command, args []string) error {
		err := f(c.Context(), args)
		var coded *exit
		switch {
		case err == nil, errors.As(err, &coded):
			return err
		case errors.Is(err, idemtx.ErrInvalidRequest):
			return &exit{misused, err}
		case errors.Is(err, idemtx.ErrInFlight):
			return &exit{found, err}
		}
		return &exit{database, err}
	}
}

// report prints an error in one line and returns the exit code.
func (p *Program) report(ctx context.Context, err error) int {
	if err == nil {
		return fine
	}
	code, text := misused, err.Error()
	var coded *exit
	if errors.As(err, &coded) {
		code = coded.code
	}
	switch {
	case code == database && ctx.Err() != nil:
		text = "interrupted"
	case code == database && errors.Is(err, errLate):
		text = fmt.Sprintf("the database has not answered within %v: see --timeout", p.flags.timeout)
	}
	if text = oneLine(text); text != "" {
		fmt.Fprintln(p.Err, "idemtx: "+said(text))
	}
	return code
}

// said is an error's text without the names of packages, which are of no interest here.
func said(text string) string {
	text = strings.TrimPrefix(strings.TrimPrefix(text, "idemadmin: "), "idemtx: ")
	return strings.Replace(text, ": idemtx: ", ": ", 1)
}

func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }
