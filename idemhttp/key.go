package idemhttp

import (
	"fmt"
	"strings"

	"github.com/idemtx/idemtx/idemtx"
)

// maxKey is the longest key in bytes.
const maxKey = 255

// ParseKey returns the key in the values of an Idempotency-Key header, one for
// each time that the header was sent. It is for frameworks that are not net/http.
//
// The key is a string of RFC 9651, "like \"this\"", or raw, as many clients send
// it. A key is the same in both spellings. It is 1 to 255 bytes of printable
// ASCII. A raw one holds no quote, comma or semicolon: they would be half a
// string, a list of keys, and a parameter, and each of these is refused.
//
// An error is an [idemtx.ErrInvalidRequest] and names the rule.
func ParseKey(values []string) (string, error) {
	switch {
	case len(values) == 0:
		return "", badKey("is missing")
	case len(values) > 1:
		return "", badKey("is there more than once")
	}
	value := strings.Trim(values[0], " \t")
	key := value
	if strings.HasPrefix(value, `"`) {
		var rule string
		if key, rule = unquote(value[1:]); rule != "" {
			return "", badKey(rule)
		}
	} else if strings.ContainsAny(value, `",;`) {
		return "", badKey("is a list, has a parameter, or holds a quote")
	}
	if rule := brokenKey(key); rule != "" {
		return "", badKey(rule)
	}
	return key, nil
}

// unquote reads what follows the opening quote of a string, to the end. It
// returns the rule that is broken, or none.
func unquote(rest string) (key, rule string) {
	var b strings.Builder
	for i := 0; i < len(rest); i++ {
		switch rest[i] {
		case '"':
			if i+1 < len(rest) {
				return "", "is a list, or has a parameter"
			}
			return b.String(), ""
		case '\\':
			if i++; i == len(rest) || rest[i] != '"' && rest[i] != '\\' {
				return "", "escapes what needs no escape"
			}
		}
		b.WriteByte(rest[i])
	}
	return "", "has no closing quote"
}

func brokenKey(key string) string {
	switch {
	case key == "":
		return "is empty"
	case len(key) > maxKey:
		return fmt.Sprintf("has more than %d bytes", maxKey)
	case strings.ContainsFunc(key, func(r rune) bool { return r < ' ' || r > '~' }):
		return "holds a byte that is not printable ASCII"
	}
	return ""
}

func badKey(rule string) error {
	return fmt.Errorf("%w: the Idempotency-Key header %s", idemtx.ErrInvalidRequest, rule)
}
