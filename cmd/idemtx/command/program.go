// Package command is the command idemtx, with what it reads and writes handed in. It
// is for package main and its tests; its API is none to build on.
package command

import (
	"context"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// Program is one run of the command.
type Program struct {
	In       io.Reader
	Out, Err io.Writer

	// Whether these are terminals, where people want colours, charts and questions.
	TerminalIn, TerminalOut, TerminalErr bool

	// Getenv is asked for DATABASE_URL and NO_COLOR. Libpq's variables are read by pgx.
	Getenv func(string) string

	flags flags

	// asApplication has the database asked as an application with this URL would.
	asApplication bool
}

// flags are those that all commands have.
type flags struct {
	databaseURL   string
	schema, table string
	json, noColor bool
	timeout       time.Duration
	keySecretFile string
}

// Of is the program of this process.
func Of(in, out, err *os.File) *Program {
	return &Program{
		In: in, Out: out, Err: err,
		TerminalIn: terminal(in), TerminalOut: terminal(out), TerminalErr: terminal(err),
		Getenv: os.Getenv,
	}
}

func terminal(f *os.File) bool { return term.IsTerminal(int(f.Fd())) }

// Run runs the command that args name, without the program's own name, and returns
// the exit code.
func (p *Program) Run(ctx context.Context, args []string) int {
	root := p.root()
	root.SetArgs(args)
	return p.report(ctx, root.ExecuteContext(ctx))
}

const help = `idemtx looks after the table of an idemtx store.

The database is that of --database-url, else of DATABASE_URL, else of libpq's
environment: PGHOST and its like, PGSERVICE with PGSERVICEFILE, ~/.pgpass.

Exit codes:
  0  all is well
  1  lookup: the key is absent; forget: nothing was forgotten, as the key is
     absent or in flight, or the question was not answered with yes; schema: the
     table or the role's rights differ; doctor: there is a finding; sweep: it was
     interrupted before its end
  2  the command line is wrong
  3  the database cannot be reached, or has refused: also for want of a right,
     and for a table that is not there or not as needed`

func (p *Program) root() *cobra.Command {
	root := &cobra.Command{
		Use: "idemtx", Short: "Looks after the table of an idemtx store", Long: help,
		Args: noSuchCommand, SilenceErrors: true, SilenceUsage: true,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	root.SetIn(p.In)
	root.SetOut(p.Out)
	root.SetErr(p.Err)
	f := root.PersistentFlags()
	f.StringVar(&p.flags.databaseURL, "database-url", "", "URL or keywords of the database (others can see it in the process list)")
	f.StringVar(&p.flags.schema, "schema", "public", "schema of the table")
	f.StringVar(&p.flags.table, "table", "idemtx_replies", "name of the table")
	f.BoolVar(&p.flags.json, "json", false, "print JSON, on one line")
	f.BoolVar(&p.flags.noColor, "no-color", false, "no colours, as with NO_COLOR; there are none but on a terminal")
	f.DurationVar(&p.flags.timeout, "timeout", 30*time.Second, "how long the database may take; of sweep, for each batch; 0 is for ever")
	f.StringVar(&p.flags.keySecretFile, "key-secret-file", "",
		"file with the store's Config.KeySecret, less a newline at its end")
	root.AddCommand(p.schema(), p.lookup(), p.stats(), p.sweep(), p.forget(), p.doctor(), p.version())
	keepQuiet(root)
	return root
}
