package command

import (
	"encoding/json"
	"fmt"
	"strings"
	"text/tabwriter"
	"unicode"
	"unicode/utf16"

	"github.com/fatih/color"
)

// field is a line of what a command tells. Without a value it is left out.
type field struct{ name, value string }

func (p *Program) fields(list []field) error {
	w := tabwriter.NewWriter(p.Out, 0, 0, 2, ' ', 0)
	for _, f := range list {
		if f.value != "" {
			fmt.Fprintf(w, "%s\t%s\n", f.name, f.value)
		}
	}
	return w.Flush()
}

// printJSON prints one line: indented, a stored reply that nests deep would become
// many times as long.
func (p *Program) printJSON(value any) error {
	e := json.NewEncoder(p.Out)
	e.SetEscapeHTML(false)
	return e.Encode(value)
}

// paints tells whether what goes to a terminal or not may have colours.
func (p *Program) paints(terminal bool) bool {
	return terminal && !p.flags.noColor && p.Getenv("NO_COLOR") == "" && p.Getenv("TERM") != "dumb"
}

// paint is text for standard output in a colour, where there are any.
func (p *Program) paint(text string, attributes ...color.Attribute) string {
	c := color.New(attributes...)
	if p.paints(p.TerminalOut) {
		c.EnableColor()
	} else {
		c.DisableColor()
	}
	return c.Sprint(text)
}

// printable has a text obey nobody but the reader: what a terminal would act on, or show
// in another order, is written as JSON escapes it.
func printable(text string) string {
	var b strings.Builder
	for _, r := range text {
		if unicode.IsPrint(r) {
			b.WriteRune(r)
			continue
		}
		for _, unit := range utf16.Encode([]rune{r}) {
			fmt.Fprintf(&b, `\u%04x`, unit)
		}
	}
	return b.String()
}

// padded fills text up to a width, before it is painted.
func padded(text string, width int) string {
	return text + strings.Repeat(" ", max(0, width-len(text)))
}

// bytesOf is a size for people.
func bytesOf(n int64) string {
	const unit = 1024
	if n < unit {
		return fmt.Sprintf("%d B", n)
	}
	value, prefix := float64(n)/unit, 0
	for value >= unit && prefix < len("KMGTPE")-1 {
		value, prefix = value/unit, prefix+1
	}
	return fmt.Sprintf("%.1f %ciB", value, "KMGTPE"[prefix])
}
