package idemui

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/idemtx/idemtx/idemtx"
	"github.com/idemtx/idemtx/scope"
)

// maxShown is how many bytes of a reply a page shows.
const maxShown = 64 << 10

// replyData is a stored reply, for Config.ShowReplies.
type replyData struct {
	Response, Body string
	BodyBytes      int64
	Cut            bool // one of them was too long
	Failed         bool // it cannot be read, and the log has why
}

// reply returns nil when the reply has expired meanwhile.
func (h *Handler) reply(ctx context.Context, sc scope.Scope, key string) *replyData {
	e, err := h.store.Get(ctx, sc, key)
	switch {
	case errors.Is(err, idemtx.ErrNotFound):
		return nil
	case err != nil:
		h.log("a reply cannot be read", err)
		return &replyData{Failed: true}
	}
	response, cutResponse := cut(indented(e.Response))
	body, cutBody := cut(text(e.Body))
	return &replyData{
		Response: response, Body: body, BodyBytes: int64(len(e.Body)),
		Cut: cutResponse || cutBody,
	}
}

// indented leaves as it is what would become too long: each line of what nests deep
// begins with twice as many spaces.
func indented(response json.RawMessage) string {
	var b bytes.Buffer
	if indentedLength(response) > maxShown || json.Indent(&b, response, "", "  ") != nil {
		return string(response)
	}
	return b.String()
}

// indentedLength is about how long JSON gets.
func indentedLength(response []byte) int {
	length, depth := len(response), 0
	inString := false
	for i := 0; i < len(response); i++ {
		switch c := response[i]; {
		case inString && c == '\\':
			i++ // what is escaped may be a quote
		case c == '"':
			inString = !inString
		case inString:
		case c == '{' || c == '[':
			depth++
			length += 1 + 2*depth
		case c == '}' || c == ']':
			depth--
			length += 1 + 2*depth
		case c == ',':
			length += 1 + 2*depth
		}
	}
	return length
}

// text returns nothing of what is not text.
func text(body []byte) string {
	control := func(r rune) bool { return unicode.IsControl(r) && !unicode.IsSpace(r) }
	if !utf8.Valid(body) || bytes.ContainsFunc(body, control) {
		return ""
	}
	return string(body)
}

func cut(s string) (string, bool) {
	if len(s) <= maxShown {
		return s, false
	}
	return strings.ToValidUTF8(s[:maxShown], ""), true
}
