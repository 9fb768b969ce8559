package idemtxtest

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// shown is how much of a statement is shown.
const shown = 60

// named is what a failure calls the statements of a trip.
func named(first, last int, text string) string {
	if last > first {
		return fmt.Sprintf("statements %d to %d (%s)", first, last, excerpt(text))
	}
	return fmt.Sprintf("statement %d (%s)", first, excerpt(text))
}

// excerpt is the beginning of a statement. It ends before the first literal, as
// the simple protocol has the arguments there.
func excerpt(text string) string {
	end := literal(text)
	line := strings.Join(strings.Fields(text[:end]), " ")
	if utf8.RuneCountInString(line) > shown {
		line = string([]rune(line)[:shown])
		end = 0
	}
	if end < len(text) {
		line = strings.TrimSpace(line) + " ..."
	}
	return line
}

// literal is where the first one begins, be it a string or a number.
func literal(text string) int {
	word := false // within a word or a placeholder such as $1
	for i := range len(text) {
		c := text[i]
		switch {
		case c == '\'', !word && c >= '0' && c <= '9':
			return i
		case c == '$' && i+1 < len(text) && (text[i+1] < '0' || text[i+1] > '9'):
			return i // a dollar quote
		}
		word = c == '_' || c == '$' || c == '"' || c >= 0x80 ||
			c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
	}
	return len(text)
}
