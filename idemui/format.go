package idemui

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// number writes 1234567 as 1,234,567.
func number[T int | int64](n T) string {
	digits := strconv.FormatInt(int64(n), 10)
	var b strings.Builder
	for i, digit := range digits {
		if i > 0 && (len(digits)-i)%3 == 0 && digits[i-1] != '-' {
			b.WriteByte(',')
		}
		b.WriteRune(digit)
	}
	return b.String()
}

// size writes bytes with three digits at most before the unit.
func size(n int64) string {
	if n < 1024 {
		return number(n) + " B"
	}
	value, unit := float64(n)/1024, 0
	for value >= 1023.5 && unit < len("KMGTP")-1 {
		value, unit = value/1024, unit+1
	}
	precision := 0
	if value < 9.95 {
		precision = 1
	}
	return strconv.FormatFloat(value, 'f', precision, 64) + " " + "KMGTP"[unit:unit+1] + "iB"
}

// units of a span, the largest first.
var units = []struct {
	name   string
	length time.Duration
}{{"d", 24 * time.Hour}, {"h", time.Hour}, {"min", time.Minute}, {"s", time.Second}}

// span writes a length of time in its two largest units. One that is negative, because
// clocks differ, is none.
func span(d time.Duration) string {
	switch {
	case d <= 0:
		return "0 s"
	case d < time.Second:
		return strconv.FormatInt(max(1, d.Milliseconds()), 10) + " ms"
	}
	for i, u := range units {
		if d < u.length {
			continue
		}
		text := fmt.Sprintf("%d %s", d/u.length, u.name)
		if i+1 < len(units) && d%u.length >= units[i+1].length {
			text += fmt.Sprintf(" %d %s", d%u.length/units[i+1].length, units[i+1].name)
		}
		return text
	}
	return ""
}

// moment is how times are shown: all in UTC, which the footer says.
func moment(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05") }

// percent never rounds some to none or all.
func percent(part, whole int) string {
	switch {
	case whole == 0:
		return "–"
	case part > 0 && part*200 < whole:
		return "<1 %"
	case part < whole && part*200 > whole*199:
		return ">99 %"
	}
	return strconv.Itoa((part*200+whole)/(2*whole)) + " %"
}
