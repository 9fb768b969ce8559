package idemtx

import (
	"bytes"
	"errors"
	"io"
	"reflect"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// maxPlace is how much of a JSON pointer an error shows, in bytes. The names in
// it are the client's and may be of any length.
const maxPlace = 200

var tooDeep = "arrays and objects nest deeper than " + strconv.Itoa(maxDepth)

// invalidPayload is an ErrInvalidRequest that names the rule and where in the
// payload it is broken.
func invalidPayload(at jsontext.Pointer, rule string) error {
	if at == "" {
		return invalid("payload: %s", rule)
	}
	return invalid("payload at %s: %s", clipped(string(at)), rule)
}

// clipped makes s fit into one line of a log.
func clipped(s string) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return unicode.ReplacementChar
	}, s)
	if len(s) <= maxPlace {
		return s
	}
	end := maxPlace
	for !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end] + "..."
}

// notJSON says what the decoder found wrong with text. The decoder's own error
// quotes the text, so it goes no further.
func notJSON(text []byte, err error) error {
	var at jsontext.Pointer
	var rest []byte // from where the error is
	if syntax, ok := errors.AsType[*jsontext.SyntacticError](err); ok {
		at = syntax.JSONPointer
		rest = text[min(int(syntax.ByteOffset), len(text)):]
	}
	r, size := utf8.DecodeRune(rest)
	switch {
	case errors.Is(err, io.EOF):
		return invalidPayload(at, "there is no JSON")
	case errors.Is(err, io.ErrUnexpectedEOF):
		return invalidPayload(at, "the JSON ends too early")
	case errors.Is(err, jsontext.ErrDuplicateName):
		return invalidPayload(at, "the member name occurs twice")
	case r == utf8.RuneError && size == 1:
		return invalidPayload(at, "the text is not valid UTF-8")
	case bytes.HasPrefix(rest, []byte(`\`)):
		return invalidPayload(at, "the escape is not valid, or a lone surrogate")
	}
	return invalidPayload(at, "the text is not valid JSON")
}

// notEncodable says why a Go value has no JSON. The encoder's own error may
// quote the value, or be the caller's and hold anything, so it goes no further.
func notEncodable(err error) error {
	semantic, ok := errors.AsType[*jsonv2.SemanticError](err)
	if !ok {
		return notWritable(err)
	}
	at := semantic.JSONPointer
	if nesting(at) > maxDepth {
		return invalidPayload(at, tooDeep) // a value that holds itself, too
	}
	if semantic.GoType == nil {
		return invalidPayload(at, "the value has no JSON")
	}
	name, kind := clipped(semantic.GoType.String()), semantic.GoType.Kind()
	_, syntax := errors.AsType[*jsontext.SyntacticError](semantic.Err)
	switch {
	case syntax:
		return invalidPayload(at, "Go type "+name+" returns JSON that is not valid")
	case kind == reflect.Float64 || kind == reflect.Float32:
		return invalidPayload(at, "Go type "+name+" has JSON for finite numbers only")
	case kind == reflect.Struct:
		return invalidPayload(at, "Go type "+name+" has a method that fails, or json tags that are malformed or hide its fields")
	}
	return invalidPayload(at, "Go type "+name+" has no JSON for this value")
}

// notWritable says why a string or a nested value could not be written.
func notWritable(err error) error {
	syntax, ok := errors.AsType[*jsontext.SyntacticError](err)
	switch {
	case !ok:
		return invalidPayload("", "the value has no JSON")
	case nesting(syntax.JSONPointer) > maxDepth:
		return invalidPayload(syntax.JSONPointer, tooDeep)
	case errors.Is(err, jsontext.ErrDuplicateName):
		return invalidPayload(syntax.JSONPointer, "the member name occurs twice")
	}
	return invalidPayload(syntax.JSONPointer, "the text is not valid UTF-8")
}

func nesting(at jsontext.Pointer) int { return strings.Count(string(at), "/") }
