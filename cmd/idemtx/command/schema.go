package command

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/fatih/color"
	"github.com/spf13/cobra"

	"github.com/idemtx/idemtx/idemtx"
)

func (p *Program) schema() *cobra.Command {
	c := &cobra.Command{
		Use: "schema", Short: "Makes the table, and compares it with what it should be", Args: noSuchCommand,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(p.schemaPrint(), p.schemaMigrations(), p.schemaApply(), p.schemaVerify(), p.schemaDiff())
	return c
}

func partitions(c *cobra.Command, n *int) {
	c.Flags().IntVar(n, "partitions", 0, "make the table in so many partitions, by hash of the scope; 0 is none")
}

func (p *Program) schemaPrint() *cobra.Command {
	n := 0
	c := &cobra.Command{
		Use: "print", Short: "Prints the SQL that makes the table, for your migrations", Args: noArguments,
		Long: "Prints the SQL that makes the table, for your migrations. The database is not asked.",
		RunE: runs(func(context.Context, []string) error {
			s, closePool, err := p.open(func(c *idemtx.Config) { c.Partitions = n })
			if err != nil {
				return err
			}
			defer closePool()
			if p.flags.json {
				return p.printJSON(struct {
					SQL string `json:"sql"`
				}{s.SchemaSQL()})
			}
			fmt.Fprint(p.Out, s.SchemaSQL())
			return nil
		}),
	}
	partitions(c, &n)
	return c
}

func (p *Program) schemaApply() *cobra.Command {
	n := 0
	c := &cobra.Command{
		Use: "apply", Short: "Makes the table if it is missing", Args: noArguments,
		Long: "Makes the table if it is missing. One that is there and differs is left alone: see schema diff.",
		RunE: runs(func(ctx context.Context, _ []string) error {
			s, closePool, err := p.open(func(c *idemtx.Config) { c.Partitions = n })
			if err != nil {
				return err
			}
			defer closePool()
			return p.question(ctx, func(ctx context.Context) error { return p.verdict(s.CreateSchema(ctx)) })
		}),
	}
	partitions(c, &n)
	return c
}

func (p *Program) schemaVerify() *cobra.Command {
	return &cobra.Command{
		Use: "verify", Short: "Lists how the table and the role's rights differ from what is needed", Args: noArguments,
		RunE: runs(p.asks(func(ctx context.Context, s *idemtx.Store, _ []string) error {
			return p.verdict(s.VerifySchema(ctx))
		})),
	}
}

// difference is one of a SchemaError.
type difference struct {
	Text string `json:"text"`
	Cure string `json:"cure"`
}

func differencesOf(err *idemtx.SchemaError) []difference {
	list := make([]difference, len(err.Differences))
	for i, text := range err.Differences {
		list[i].Text, list[i].Cure, _ = strings.Cut(text, ", cure: ")
	}
	return list
}

// verdict prints how the table differs, or that it does not.
func (p *Program) verdict(err error) error {
	var differs *idemtx.SchemaError
	if err != nil && !errors.As(err, &differs) {
		return err
	}
	list := []difference{}
	if differs != nil {
		list = differencesOf(differs)
	}
	switch {
	case p.flags.json:
		err = p.printJSON(struct {
			OK          bool         `json:"ok"`
			Differences []difference `json:"differences"`
		}{differs == nil, list})
	case differs == nil:
		_, err = fmt.Fprintln(p.Out, p.paint("ok", color.FgGreen)+"  the table is as needed")
	default:
		for _, d := range list {
			fmt.Fprintf(p.Out, "%s  %s\n        %s\n", p.paint("differs", color.FgRed), d.Text, d.Cure)
		}
		err = nil
	}
	if err == nil && differs != nil {
		return errFound
	}
	return err
}

func (p *Program) schemaDiff() *cobra.Command {
	return &cobra.Command{
		Use: "diff", Short: "Prints the SQL that would put the table right, or nothing", Args: noArguments,
		Long: "Prints the SQL that would put the table right, or nothing when it is. Read it before you run it: some of it\n" +
			"rewrites the table or takes locks. What is no SQL is a comment.",
		RunE: runs(p.asks(func(ctx context.Context, s *idemtx.Store, _ []string) error {
			err := s.VerifySchema(ctx)
			var differs *idemtx.SchemaError
			if err != nil && !errors.As(err, &differs) {
				return err
			}
			cures := []string{}
			if differs != nil {
				cures = cureSQL(s, differs)
			}
			if p.flags.json {
				err = p.printJSON(cures)
			} else {
				err = nil
				for _, cure := range cures {
					fmt.Fprintln(p.Out, cure)
				}
			}
			if err == nil && differs != nil {
				return errFound
			}
			return err
		})),
	}
}

var isSQL = regexp.MustCompile(`^(ALTER|CREATE|DROP|GRANT|REINDEX) `)

// missing is the cure that is no SQL because there is a whole table of it.
const missing = "the table is missing"

func cureSQL(s *idemtx.Store, differs *idemtx.SchemaError) []string {
	var cures []string
	for _, d := range differencesOf(differs) {
		switch {
		case d.Text == missing:
			cures = append(cures, strings.TrimSuffix(s.SchemaSQL(), "\n"))
		case isSQL.MatchString(d.Cure):
			cures = append(cures, d.Cure+";")
		default:
			cures = append(cures, "-- "+oneLine(d.Text+": "+d.Cure)) // a name may hold the end of a line
		}
	}
	return cures
}
