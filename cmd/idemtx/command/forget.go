package command

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/idemtx/idemtx/idemadmin"
	"github.com/idemtx/idemtx/idemtx"
)

func (p *Program) forget() *cobra.Command {
	var w whose
	yes := false
	c := &cobra.Command{
		Use: "forget [key | -]", Short: "Deletes what is stored of a key, so that the work may be done again", Args: atMostOneKey,
		Long: "Deletes what is stored of a key. The next request with the key does the work AGAIN: a payment is made twice.\n" +
			"A key in flight is left alone. A process with a Config.Cache goes on answering from its memory for a while.\n" +
			"The exit code is 1 when nothing is stored, the key is in flight, or the question is not answered with yes.",
		RunE: runs(func(ctx context.Context, args []string) error {
			in := bufio.NewReader(p.In)
			sc, key, err := w.read(args, in)
			if err != nil {
				return err
			}
			if err = p.confirm(in, yes, "Forget key "+redacted(key)+" of "+sc.LogID()+"? A retry does the work again."); err != nil {
				return err
			}
			return p.asks(func(ctx context.Context, s *idemtx.Store, _ []string) error {
				deleted, err := idemadmin.Forget(ctx, s, sc, key)
				if err != nil {
					return err
				}
				return p.forgotten(sc.LogID(), redacted(key), deleted)
			})(ctx, args)
		}),
	}
	w.flags(c)
	c.Flags().BoolVar(&yes, "yes", false, "do not ask; needed where standard input is no terminal")
	return c
}

func (p *Program) forgotten(scope, key string, deleted bool) (err error) {
	switch {
	case p.flags.json:
		err = p.printJSON(struct {
			Scope     string `json:"scope"`
			Key       string `json:"key"`
			Forgotten bool   `json:"forgotten"`
		}{scope, key, deleted})
	case deleted:
		_, err = fmt.Fprintln(p.Out, "forgotten")
	default:
		_, err = fmt.Fprintln(p.Out, "nothing is stored under this key")
	}
	if err == nil && !deleted {
		return errFound
	}
	return err
}

// confirm asks a person. Where there is none, --yes has to be given.
func (p *Program) confirm(in *bufio.Reader, yes bool, question string) error {
	switch {
	case yes:
		return nil
	case !p.TerminalIn:
		return misuse("--yes is needed where standard input is no terminal")
	}
	fmt.Fprint(p.Err, question+" [y/N] ")
	answer, _ := in.ReadString('\n') // without an answer it is no
	switch strings.ToLower(strings.TrimSpace(answer)) {
	case "y", "yes":
		return nil
	}
	return &exit{found, errors.New("not confirmed, and nothing is done")}
}
