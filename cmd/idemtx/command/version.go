package command

import (
	"context"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// build is what the toolchain has written into the program.
type build struct {
	Version  string `json:"version"`
	Revision string `json:"revision,omitempty"`
	Modified bool   `json:"modified,omitempty"`
	Go       string `json:"go"`
}

func (p *Program) version() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Prints the version", Args: noArguments,
		RunE: runs(func(context.Context, []string) error {
			b := built()
			if p.flags.json {
				return p.printJSON(b)
			}
			revision := b.Revision
			if b.Modified {
				revision += ", modified"
			}
			return p.fields([]field{{"idemtx", b.Version}, {"revision", revision}, {"go", b.Go}})
		}),
	}
}

func built() build {
	b := build{Version: "unknown", Go: runtime.Version()}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	if info.Main.Version != "" {
		b.Version = info.Main.Version
	}
	for _, setting := range info.Settings {
		switch setting.Key {
		case "vcs.revision":
			b.Revision = setting.Value
		case "vcs.modified":
			b.Modified = setting.Value == "true"
		}
	}
	return b
}
