package idemtxtest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/big"
	"reflect"
	"slices"
	"strings"

	"github.com/idemtx/idemtx/idemtx"
)

// answer is a reply as it is stored.
type answer struct {
	tree    any // of its JSON
	body    []byte
	refused bool
}

// model is the answer of one clean run, and the places in which clean runs differ.
type model struct {
	answer
	free []string // JSON pointers; everything below one is free, too
}

func learnAnswer(answers ...answer) model {
	m := model{answer: answers[0]}
	for _, a := range answers[1:] {
		m.free = append(m.free, m.differences(a)...)
	}
	return m
}

// differences are the places in which an answer differs from the model, as JSON
// pointers, leaving out what is free.
func (m model) differences(a answer) []string {
	var places []string
	if m.refused != a.refused {
		places = append(places, "(being refused)")
	}
	if !bytes.Equal(m.body, a.body) {
		places = append(places, "(the body)")
	}
	diverge("", m.tree, a.tree, func(place string) { places = append(places, place) })
	return slices.DeleteFunc(places, m.isFree)
}

func (m model) isFree(place string) bool {
	return slices.ContainsFunc(m.free, func(free string) bool {
		return place == free || strings.HasPrefix(place, free+"/")
	})
}

// diverge reports the places in which two JSON values differ. An array of another
// length differs as a whole, and so does an object with other members.
func diverge(place string, a, b any, report func(place string)) {
	switch x := a.(type) {
	case map[string]any:
		if y, ok := b.(map[string]any); ok && sameMembers(x, y) {
			for name := range x {
				diverge(place+"/"+pointer.Replace(name), x[name], y[name], report)
			}
			return
		}
	case []any:
		if y, ok := b.([]any); ok && len(x) == len(y) {
			for i := range x {
				diverge(fmt.Sprintf("%s/%d", place, i), x[i], y[i], report)
			}
			return
		}
	case json.Number:
		if y, ok := b.(json.Number); ok && sameNumber(x, y) {
			return
		}
	default:
		if a == b {
			return
		}
	}
	report(place)
}

var pointer = strings.NewReplacer("~", "~0", "/", "~1")

func sameMembers(a, b map[string]any) bool {
	for name := range a {
		if _, ok := b[name]; !ok {
			return false
		}
	}
	return len(a) == len(b)
}

func sameNumber(a, b json.Number) bool {
	x, ok := new(big.Rat).SetString(string(a))
	y, other := new(big.Rat).SetString(string(b))
	return ok && other && x.Cmp(y) == 0
}

func parse(text []byte) (any, error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var tree any
	err := d.Decode(&tree)
	return tree, err
}

// same tells whether a reply and its replay are the same to the caller. JSON comes
// back with the same meaning and not with the same bytes, so values that keep its
// text are compared by that.
func same[T any](a, b idemtx.Reply[T]) bool {
	if a.Refused != b.Refused || !a.CreatedAt.Equal(b.CreatedAt) || !a.ExpiresAt.Equal(b.ExpiresAt) {
		return false
	}
	if reflect.DeepEqual(a.Value, b.Value) {
		return true
	}
	x, errX := tree(a.Value)
	y, errY := tree(b.Value)
	equal := errX == nil && errY == nil
	diverge("", x, y, func(string) { equal = false })
	return equal
}

func tree(value any) (any, error) {
	text, err := json.Marshal(value)
	if err != nil {
		return nil, err
	}
	return parse(text)
}
