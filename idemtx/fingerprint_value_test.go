package idemtx_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"math/big"
	"net/netip"
	"reflect"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemtx"
)

type order struct {
	Base
	ID       int64           `json:"id,string"`
	Note     string          `json:"note,omitempty"`
	Price    float64         `json:"price"`
	Rate     float32         `json:"rate,omitempty"`
	Quantity *int            `json:"quantity"`
	Amount   json.Number     `json:"amount"`
	Extra    json.RawMessage `json:"extra"`
	Made     time.Time       `json:"made,omitempty"`
	Took     time.Duration   `json:"took"`
	Body     []byte          `json:"body"`
	Digest   [3]byte         `json:"digest"`
	Tags     []string        `json:"tags"`
	Labels   map[netip.Addr]any
	Skipped  string `json:"-"`
	hidden   string
}

type Base struct {
	Kind string `json:"kind" protobuf:"bytes,1"`
}

// A Go value is what encoding/json makes of it: a handler that reads the body
// into a struct and one that passes it on as it is agree.
func TestGoValuesAreWhatEncodingJSONMakesOfThem(t *testing.T) {
	t.Parallel()
	three := 3
	full := order{
		Base: Base{"sale"}, ID: 1 << 60, Note: "<Grüße>\u2028", Price: 0.1, Rate: 0.1, Quantity: &three, Amount: "12.50",
		Extra: json.RawMessage(` { "z": 1, "a": 1e2 } `), Made: time.Date(2026, 1, 2, 3, 4, 5, 600, time.UTC), Took: time.Second,
		Body: []byte{0, 255}, Digest: [3]byte{1, 2, 3}, Tags: []string{}, Labels: map[netip.Addr]any{netip.IPv6Loopback(): nil},
		Skipped: "x", hidden: "x",
	}
	for name, value := range map[string]any{
		"nil": nil, "bool": true, "string": "Grüße & <b>\u2028\u0000", "int": -5, "uint64": uint64(math.MaxUint64),
		"int64": int64(math.MinInt64), "int beyond 2^53": 1<<53 + 1, "float": 1e21, "float32": float32(16777216.1), "-0": math.Copysign(0, -1),
		"bytes": []byte("abc"), "array of bytes": [2]byte{1, 2}, "nil slice": []int(nil), "nil map": map[string]int(nil),
		"nil pointer": (*order)(nil), "map": map[int]string{10: "a", 9: "b"},
		"empty struct": struct{}{}, "struct": full, "pointer": &full, "zero": order{Amount: "0"}, "values": []any{full, &full},
		"number": json.Number("1.0"), "number, large": json.Number("9007199254740993"), "number, empty": json.Number(""),
		"numbers": map[string]any{"n": json.Number("5"), "s": "5"}, "number as name": map[json.Number]int{"1": 1},
		"raw message inside": []any{json.RawMessage(" 1.0 "), json.RawMessage(nil), jsontext.Value(`"a"`)},
		"big int":            new(big.Int).Exp(big.NewInt(10), big.NewInt(300), nil), "address": netip.MustParseAddr("::1"),
		"time": time.Unix(0, 0).UTC(), "duration": time.Minute, "raw inside": []any{idemtx.Raw("abc")},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			text, err := json.Marshal(value)
			require.NoError(t, err)
			require.Equal(t, ofJSON(t, string(text)), fingerprint(t, "POST /orders", value), string(text))
		})
	}
}

func TestJSONNumberIsANumber(t *testing.T) {
	t.Parallel()
	require.Equal(t, ofJSON(t, `{"a":1}`), fingerprint(t, "POST /orders", map[string]any{"a": json.Number("1.0")}))
	require.NotEqual(t, ofJSON(t, `{"a":"1"}`), fingerprint(t, "POST /orders", map[string]any{"a": json.Number("1")}))
}

type (
	failing    struct{ err error }
	returning  string // JSON as it is, from MarshalJSON
	texting    string // text as it is, from MarshalText
	unexported struct{ secret string }
	linked     struct{ Next *linked }
	price      float64
)

func (f failing) MarshalJSON() ([]byte, error)   { return nil, f.err }
func (r returning) MarshalJSON() ([]byte, error) { return []byte(r), nil }
func (r texting) MarshalText() ([]byte, error)   { return []byte(r), nil }

// reading is a value whose JSON comes from a reader that fails.
type reading struct{ err error }

func (r reading) MarshalJSONTo(*jsontext.Encoder) error {
	_, err := jsontext.NewDecoder(iotest.ErrReader(r.err)).ReadToken()
	return err
}

type sameName struct{ id int }

func (sameName) MarshalText() ([]byte, error) { return []byte("name"), nil }

func TestRefusedGoValues(t *testing.T) {
	t.Parallel()
	const (
		utf     = "the text is not valid UTF-8"
		finite  = " has JSON for finite numbers only"
		hides   = " has a method that fails, or json tags that are malformed or hide its fields"
		invalid = " returns JSON that is not valid"
		nothing = " has no JSON for this value"
		tooDeep = "arrays and objects nest deeper than 256"
	)
	loop := &linked{}
	loop.Next = loop
	for name, c := range map[string]struct {
		payload any
		text    string
	}{
		"NaN":            {map[string]any{"a": []float64{1, math.NaN()}}, " at /a/1: Go type float64" + finite},
		"infinity":       {math.Inf(1), ": Go type float64" + finite},
		"-infinity":      {[]float32{float32(math.Inf(-1))}, " at /0: Go type float32" + finite},
		"named NaN":      {[]price{price(math.NaN())}, " at /0: Go type idemtx_test.price" + finite},
		"number, 1e400":  {[]any{json.Number("1e400")}, " at /0: the number is too large for a float64"},
		"number, word":   {[]any{json.Number("secret")}, " at /0: Go type json.Number" + nothing},
		"large integer":  {[]any{new(big.Int).Exp(big.NewInt(10), big.NewInt(400), nil)}, " at /0: the number is too large for a float64"},
		"string":         {[]string{"", "secret\xff"}, " at /1: " + utf},
		"name":           {map[string]int{"secret\xff": 1}, ": " + utf},
		"names twice":    {[]any{map[sameName]int{{1}: 1, {2}: 2}}, " at /0/name: the member name occurs twice"},
		"function":       {[]any{func() {}}, " at /0: Go type func()" + nothing},
		"channel":        {struct{ C chan int }{make(chan int)}, " at /C: Go type chan int" + nothing},
		"complex number": {complex(1, 2), ": Go type complex128" + nothing},
		"loop":           {loop, " at /Next" + strings.Repeat("/Next", 39) + "...: " + tooDeep},
		"deep":           {map[string]any{"a": json.RawMessage(nested(256))}, " at /a" + strings.Repeat("/0", 99) + "...: " + tooDeep},
		"very deep":      {chain(20000), " at /Next" + strings.Repeat("/Next", 39) + "...: " + tooDeep},

		"method fails":         {[]any{failing{errors.New("secret")}}, " at /0: Go type idemtx_test.failing" + hides},
		"method fails, EOF":    {[]any{failing{io.EOF}}, " at /0: Go type idemtx_test.failing" + hides},
		"method fails, nested": {[]any{failing{&jsonv2.SemanticError{Err: errors.New("secret")}}}, " at /0: the value has no JSON"},
		"method cannot read":   {[]any{reading{errors.New("secret")}}, ": the value has no JSON"},
		"method, no JSON":      {[]any{returning("secret")}, " at /0: Go type idemtx_test.returning" + invalid},
		"method, nothing":      {[]any{returning("")}, " at /0: Go type idemtx_test.returning" + invalid},
		"method, two values":   {[]any{returning("1 2")}, " at /0: Go type idemtx_test.returning" + invalid},
		"method, name twice":   {[]any{returning(`{"a":1,"a":2}`)}, " at /0: Go type idemtx_test.returning" + invalid},
		"method, broken UTF-8": {[]any{returning("\"secret\xff\"")}, " at /0: Go type idemtx_test.returning" + invalid},
		"method, surrogate":    {[]any{returning(`"\ud800"`)}, " at /0: Go type idemtx_test.returning" + invalid},
		"method, 1e400":        {[]any{returning("1e400")}, " at /0: the number is too large for a float64"},
		"method, broken text":  {[]any{texting("secret\xff")}, " at /0: Go type idemtx_test.texting" + invalid},
		"raw message, empty":   {[]any{json.RawMessage{}}, fmt.Sprintf(" at /0: Go type %T", json.RawMessage{}) + invalid},

		"a reader":          {bytes.NewBufferString("secret"), ": Go type bytes.Buffer" + hides},
		"an error":          {struct{ Err error }{io.EOF}, " at /Err: Go type errors.errorString" + hides},
		"unexported fields": {unexported{"secret"}, ": Go type idemtx_test.unexported" + hides},
		"tag with a space": {
			structOf(field("A", `json:"a, omitempty"`)), `: Go type struct { A string "json:\"a, omitempty\"" }` + hides,
		},
		"two tags in conflict": {
			structOf(field("A", `json:"n"`), field("B", `json:"n"`)), `: Go type struct { A string "json:\"n\""; B string "json:\"n\"" }` + hides,
		},
		"type without a name": {
			structOf(field(strings.Repeat("A", 300), `json:","`)), ": Go type struct { " + strings.Repeat("A", 191) + "..." + hides,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := idemtx.FingerprintOf("POST /orders", c.payload)
			require.ErrorIs(t, err, idemtx.ErrInvalidRequest)
			require.EqualError(t, err, "idemtx: invalid request: payload"+c.text)
			require.NotErrorIs(t, err, io.EOF)
		})
	}
}

// structOf makes types that go vet would not let pass.
func structOf(fields ...reflect.StructField) any {
	return reflect.New(reflect.StructOf(fields)).Elem().Interface()
}

func field(name string, tag reflect.StructTag) reflect.StructField {
	return reflect.StructField{Name: name, Type: reflect.TypeFor[string](), Tag: tag}
}

func chain(length int) *linked {
	var first *linked
	for range length {
		first = &linked{first}
	}
	return first
}

func TestNilRawMessageIsNoJSON(t *testing.T) {
	t.Parallel()
	for _, payload := range []any{json.RawMessage(nil), json.RawMessage{}, jsontext.Value(nil), jsontext.Value{}} {
		_, err := idemtx.FingerprintOf("POST /orders", payload)
		require.EqualError(t, err, "idemtx: invalid request: payload: there is no JSON")
	}
}

// The race detector fails this test if anything is written to the payload.
func TestOnePayloadInManyGoroutines(t *testing.T) {
	t.Parallel()
	text := json.RawMessage(` { "b" : 1.0 , "a" : "\u0061" } `)
	want := digest("POST /orders", 'j', `{"a":"a","b":1}`)
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			for range 100 {
				if f, err := idemtx.FingerprintOf("POST /orders", text); err != nil || f != want {
					t.Errorf("got %x, %v", f, err)
				}
			}
		})
	}
	group.Wait()
}
