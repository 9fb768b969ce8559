package command

import (
	"errors"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// What cobra and pflag say of a wrong command line quotes it, and there may be a key
// in it. So none of their texts about arguments gets out.

// keepQuiet takes care of the root's flags, and of the commands that cobra adds.
func keepQuiet(root *cobra.Command) {
	root.SetFlagErrorFunc(wrongFlag)
	root.SuggestionsMinimumDistance = 2
	root.SetHelpCommand(&cobra.Command{
		Use: "help [command]", Short: "Tells about a command",
		RunE: func(c *cobra.Command, args []string) error {
			about, rest, err := c.Root().Find(args)
			if err != nil || len(rest) > 0 {
				return noSuchCommand(c.Root(), args)
			}
			return about.Help()
		},
	})
	root.InitDefaultCompletionCmd()
	for _, c := range root.Commands() {
		if c.Name() != "completion" {
			continue
		}
		c.Args, c.RunE = noSuchCommand, func(c *cobra.Command, _ []string) error { return c.Help() }
		for _, shell := range c.Commands() {
			shell.Args = noArguments
		}
	}
}

func noArguments(_ *cobra.Command, args []string) error {
	if len(args) > 0 {
		return misuse("this command takes no argument")
	}
	return nil
}

func atMostOneKey(_ *cobra.Command, args []string) error {
	if len(args) > 1 {
		return misuse("there is more than one key")
	}
	return nil
}

func noSuchCommand(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	text := "there is no such command: see " + c.CommandPath() + " --help"
	if similar := c.SuggestionsFor(args[0]); len(similar) > 0 {
		text += ", or was it " + strings.Join(similar, " or ") + "?"
	}
	return misuse("%s", text)
}

func wrongFlag(_ *cobra.Command, err error) error {
	var unknown *pflag.NotExistError
	var malformed *pflag.InvalidSyntaxError
	var invalid *pflag.InvalidValueError
	if errors.As(err, &invalid) {
		return misuse("--%s has a value that it does not take", invalid.GetFlag().Name)
	}
	if errors.As(err, &unknown) || errors.As(err, &malformed) {
		return misuse("there is no such flag; a key that begins with - comes behind --, or with --key-stdin")
	}
	return &exit{misused, err}
}
