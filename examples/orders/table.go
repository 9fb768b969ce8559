package main

import (
	"fmt"
	"io"
)

// writeTable prints a line for each result, under its mode.
func writeTable(out io.Writer, results []result) {
	const line = "%-42s  %13v  %17v  %10v  %18v  %s\n"
	fmt.Fprintf(out, line, "", "requests sent", "orders that exist", "mails sent", "replies that agree", "expected")
	var heading mode
	for _, r := range results {
		if r.mode != heading {
			heading = r.mode
			fmt.Fprintln(out, heading)
		}
		fmt.Fprintf(out, line, "  "+r.story, r.got.sent, r.got.orders, r.got.mails,
			fmt.Sprintf("%d of %d", r.got.agree, r.got.replies), r.want.inWords())
	}
}

func (c counts) inWords() string {
	return many(c.orders, "order") + ", " + many(c.mails, "mail")
}

func many(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
