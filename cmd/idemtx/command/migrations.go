package command

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/idemtx/idemtx/idemtx"
	"github.com/idemtx/idemtx/internal/migrationfiles"
)

func (p *Program) schemaMigrations() *cobra.Command {
	var format, dir string
	var first, after, n int
	c := &cobra.Command{
		Use: "migrations", Short: "Writes the steps to the table of this release as files for goose, tern or Atlas", Args: noArguments,
		Long: "Writes the steps to the table of this release as files, one a step, for a tool that keeps a record of those it has\n" +
			"applied. A release changes no step of an earlier one: what you have up to --after stays as it is. No file is\n" +
			"replaced. The database is not asked.",
		RunE: runs(func(context.Context, []string) error {
			s, closePool, err := p.open(func(c *idemtx.Config) { c.Partitions = n })
			if err != nil {
				return err
			}
			defer closePool()
			steps := s.Migrations()
			if after < 0 || after > len(steps) {
				return misuse("--after must be from 0 to %d", len(steps))
			}
			names, err := migrationfiles.Write(dir, migrationfiles.Format(format), first, steps[after:])
			if err != nil {
				return &exit{misused, err}
			}
			return p.tellFiles(names)
		}),
	}
	c.Flags().StringVar(&format, "format", string(migrationfiles.Plain), "one of "+strings.Join(migrationfiles.Formats(), ", ")+
		"; plain is for Atlas and all that take a file as it is")
	c.Flags().StringVar(&dir, "dir", ".", "the folder to write to")
	c.Flags().IntVar(&first, "first", 1, "the number of the first file, behind those that are there")
	c.Flags().IntVar(&after, "after", 0, "the last step that you have already, by its version")
	partitions(c, &n)
	return c
}

func (p *Program) tellFiles(names []string) error {
	if p.flags.json {
		return p.printJSON(struct {
			Files []string `json:"files"`
		}{append([]string{}, names...)})
	}
	for _, name := range names {
		fmt.Fprintln(p.Out, name)
	}
	return nil
}
