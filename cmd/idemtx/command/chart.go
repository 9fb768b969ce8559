package command

import (
	"fmt"
	"strings"
	"time"

	"github.com/fatih/color"

	"github.com/idemtx/idemtx/idemadmin"
)

// longestBar is how many characters the most rows have.
const longestBar = 40

// chart shows how old live replies are: as bars on a terminal, and as numbers alone
// elsewhere. Ages that nothing has reached are left out.
func (p *Program) chart(buckets []idemadmin.Bucket) error {
	last, most := -1, int64(0)
	for i, b := range buckets {
		if b.Rows > 0 {
			last, most = i, max(most, b.Rows)
		}
	}
	if last < 0 {
		return nil
	}
	fmt.Fprintln(p.Out, "\nlive replies by age")
	digits := len(fmt.Sprint(most))
	for _, b := range buckets[:last+1] {
		line := fmt.Sprintf("  under %s  %*d", padded(ageOf(b.UpTo), 6), digits, b.Rows)
		if p.TerminalOut && b.Rows > 0 {
			line += "  " + p.paint(bar(b.Rows, most), color.FgCyan)
		}
		if _, err := fmt.Fprintln(p.Out, line); err != nil {
			return err
		}
	}
	return nil
}

// bar is no shorter than one character: few are more than none.
func bar(rows, most int64) string {
	return strings.Repeat("█", max(1, int(rows*longestBar/most)))
}

// ageOf is a bound of a bucket, which is a whole number of something.
func ageOf(d time.Duration) string {
	switch {
	case d%(24*time.Hour) == 0:
		return fmt.Sprintf("%d d", d/(24*time.Hour))
	case d%time.Hour == 0:
		return fmt.Sprintf("%d h", d/time.Hour)
	}
	return fmt.Sprintf("%d min", d/time.Minute)
}
