package main

import (
	"fmt"
	"io"
)

// writeTable prints a line for each result, under its mode.
func writeTable(out io.Writer, results []result) {
	const line = "%-42s  %13v  %17v  %18v  %s\n"
	fmt.Fprintf(out, line, "", "requests sent", "orders that exist", "replies that agree", "expected")
	var heading mode
	for _, r := range results {
		if r.mode != heading {
			heading = r.mode
			fmt.Fprintln(out, heading)
		}
		fmt.Fprintf(out, line, "  "+r.story, r.got.sent, r.got.orders,
			fmt.Sprintf("%d of %d", r.got.agree, r.got.replies), r.want.inWords())
	}
}

func (c counts) inWords() string {
	if c.orders == 1 {
		return "1 order"
	}
	return fmt.Sprintf("%d orders", c.orders)
}
