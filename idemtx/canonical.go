package idemtx

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	jsonv1 "github.com/go-json-experiment/json/v1"
)

const (
	// maxDepth bounds how deep arrays and objects nest: whoever walks a payload
	// does so recursively, the handler too.
	maxDepth = 256

	// maxNumber is the length of a number in bytes. Within it an exponent that
	// strconv cuts off, which it does at 10000, is out of range either way.
	maxNumber = 1024
)

// valueOptions are how Go values become JSON: as in encoding/json, so that their
// tags and methods mean what they always did, but strict where that would hide
// a difference between two requests.
var valueOptions = jsonv2.JoinOptions(
	jsonv1.DefaultOptionsV1(),
	jsontext.AllowInvalidUTF8(false),
	jsontext.AllowDuplicateNames(false),
	jsonv1.ReportErrorsWithLegacySemantics(false),
	// The package knows its own Number only. To it this one is a string, and 1
	// and "1" would be the same.
	jsonv2.WithMarshalers(jsonv2.MarshalToFunc(func(encoder *jsontext.Encoder, n json.Number) error {
		return jsonv1.Number(n).MarshalJSONTo(encoder)
	})),
)

// canonicalJSON returns the payload's JSON, without what is excluded, in the
// form of RFC 8785. The caller's bytes are left as they are.
func canonicalJSON(payload any, exclude []string) (jsontext.Value, error) {
	text, err := jsonText(payload)
	if err != nil {
		return nil, err
	}
	if err := checkJSON(text); err != nil {
		return nil, err
	}
	if len(exclude) > 0 {
		if text, err = excluding(text, exclude); err != nil {
			return nil, err
		}
	}
	if err := text.Canonicalize(jsontext.CanonicalizeRawInts(false)); err != nil {
		return nil, notJSON(text, err)
	}
	return text, nil
}

// jsonText returns bytes that may be written to: canonicalizing does.
func jsonText(payload any) (jsontext.Value, error) {
	// Not a type switch: under GOEXPERIMENT=jsonv2 the two are one type.
	if text, ok := payload.(json.RawMessage); ok {
		return bytes.Clone(text), nil
	}
	if text, ok := payload.(jsontext.Value); ok {
		return text.Clone(), nil
	}
	text, err := jsonv2.Marshal(payload, valueOptions)
	if err != nil {
		return nil, notEncodable(err)
	}
	return text, nil
}

// checkJSON refuses what Canonicalize would accept, and what it would change: it
// makes 1.7976931348623157e+308 of 1e400.
func checkJSON(text jsontext.Value) error {
	// It reads text in place, and leaves it to the next step to find a name that
	// occurs twice: whether that is Unmarshal or Canonicalize, it does anyway.
	decoder := jsontext.NewDecoder(bytes.NewBuffer(text), jsontext.AllowDuplicateNames(true))
	for first := true; first || decoder.StackDepth() > 0; first = false {
		if decoder.PeekKind() != jsontext.KindNumber {
			if _, err := decoder.ReadToken(); err != nil {
				return notJSON(text, err)
			}
			if decoder.StackDepth() > maxDepth {
				return invalidPayload(decoder.StackPointer(), tooDeep)
			}
			continue
		}
		number, err := decoder.ReadValue()
		if err != nil {
			return notJSON(text, err)
		}
		if rule := brokenByNumber(number); rule != "" {
			return invalidPayload(decoder.StackPointer(), rule)
		}
	}
	if _, err := decoder.ReadToken(); !errors.Is(err, io.EOF) {
		return invalidPayload("", "there is something after the JSON value")
	}
	return nil
}

// brokenByNumber returns the rule that a number breaks, or nothing.
func brokenByNumber(number []byte) string {
	exponent := bytes.IndexAny(number, "eE")
	switch {
	case exponent < 0 && len(number) <= 300:
		return "" // zero, or between 1e-300 and 1e300
	case len(number) > maxNumber:
		return "the number has more than " + strconv.Itoa(maxNumber) + " bytes"
	case exponent < 0:
		exponent = len(number)
	}
	value, err := strconv.ParseFloat(string(number), 64)
	switch {
	case err != nil:
		return "the number is too large for a float64"
	case value == 0 && bytes.ContainsAny(number[:exponent], "123456789"):
		return "the number is too small for a float64"
	}
	return ""
}

// excluding returns object without the members that exclude names.
func excluding(object jsontext.Value, exclude []string) (jsontext.Value, error) {
	for _, entry := range exclude {
		if entry == "" || !utf8.ValidString(entry) {
			return nil, invalid("an entry of Exclude must be valid UTF-8 and not empty")
		}
	}
	if object.Kind() != jsontext.KindBeginObject {
		return nil, invalid("Exclude needs a payload that is a JSON object")
	}
	return without(object, exclude)
}

// without removes what paths name. A path may go on after any of its dots, as
// a name may hold dots itself.
func without(object jsontext.Value, paths []string) (jsontext.Value, error) {
	var members map[string]jsontext.Value
	if err := jsonv2.Unmarshal(object, &members); err != nil {
		return nil, notJSON(object, err)
	}
	for name, value := range members {
		named, inside := match(name, paths)
		switch {
		case named:
			delete(members, name)
		case len(inside) > 0 && value.Kind() == jsontext.KindBeginObject:
			rest, err := without(value, inside)
			if err != nil {
				return nil, err
			}
			members[name] = rest
		}
	}
	return jsonv2.Marshal(members)
}

// match tells whether a path names the member, or else how those paths go on
// that lead into it.
func match(name string, paths []string) (named bool, inside []string) {
	for _, path := range paths {
		rest, found := strings.CutPrefix(path, name)
		switch {
		case found && rest == "":
			return true, nil
		case found && rest[0] == '.':
			inside = append(inside, rest[1:])
		}
	}
	return false, inside
}
