package command

import (
	"context"
	"fmt"

	"github.com/fatih/color"
	"github.com/spf13/cobra"

	"github.com/idemtx/idemtx/idemadmin"
	"github.com/idemtx/idemtx/idemtx"
)

// finding is one of idemadmin.Examine's.
type finding struct {
	Level   idemadmin.Level `json:"level"`
	Subject string          `json:"subject"`
	Text    string          `json:"text"`
	Advice  string          `json:"advice,omitempty"`
}

func (p *Program) doctor() *cobra.Command {
	failOn := string(idemadmin.LevelWarn)
	c := &cobra.Command{
		Use: "doctor", Short: "Examines server, settings, table and locks, and says what to do", Args: noArguments,
		Long: "Examines the server, its settings, what is in between, the table, and who waits for a key at the moment.\n" +
			"Nothing is changed. Settings and rights are those of the role that asks: use the application's URL.",
		RunE: runs(func(ctx context.Context, args []string) error {
			if failOn != string(idemadmin.LevelWarn) && failOn != string(idemadmin.LevelBad) {
				return misuse("--fail-on is warn or bad")
			}
			p.asApplication = true
			return p.asks(func(ctx context.Context, s *idemtx.Store, _ []string) error {
				list, err := idemadmin.Examine(ctx, s)
				if err != nil {
					return err
				}
				return p.findings(list, idemadmin.Level(failOn))
			})(ctx, args)
		}),
	}
	c.Flags().StringVar(&failOn, "fail-on", failOn, "exit with 1 for a finding of this level or worse: warn or bad")
	return c
}

func (p *Program) findings(list []idemadmin.Finding, failOn idemadmin.Level) error {
	told, fails := make([]finding, len(list)), false
	for i, f := range list {
		told[i] = finding(f)
		fails = fails || f.Level == idemadmin.LevelBad || f.Level == failOn
	}
	if p.flags.json {
		if err := p.printJSON(told); err != nil {
			return err
		}
	} else {
		p.printFindings(told)
	}
	if fails {
		return errFound
	}
	return nil
}

func (p *Program) printFindings(list []finding) {
	colours := map[idemadmin.Level]color.Attribute{
		idemadmin.LevelOK: color.FgGreen, idemadmin.LevelWarn: color.FgYellow, idemadmin.LevelBad: color.FgRed,
	}
	for _, f := range list {
		fmt.Fprintf(p.Out, "%s  %s  %s\n", p.paint(padded(string(f.Level), 4), colours[f.Level]), padded(f.Subject, 8), printable(f.Text))
		if f.Advice != "" {
			fmt.Fprintf(p.Out, "%s%s\n", padded("", 16), printable(f.Advice))
		}
	}
}
