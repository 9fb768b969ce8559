package idemtx_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemtx"
)

func fingerprint(t *testing.T, operation string, payload any, exclude ...string) idemtx.Fingerprint {
	t.Helper()
	f, err := idemtx.FingerprintOf(operation, payload, exclude...)
	require.NoError(t, err)
	return f
}

// ofJSON is the fingerprint of JSON text.
func ofJSON(t *testing.T, text string, exclude ...string) idemtx.Fingerprint {
	t.Helper()
	return fingerprint(t, "POST /orders", json.RawMessage(text), exclude...)
}

// digest writes the encoding of a fingerprint down a second time: kind is 'j'
// for canonical JSON and 'r' for raw bytes.
func digest(operation string, kind byte, payload string) idemtx.Fingerprint {
	b := []byte("idemtx fingerprint v1")
	b = binary.BigEndian.AppendUint64(b, uint64(len(operation)))
	b = append(b, operation...)
	b = append(b, kind)
	b = binary.BigEndian.AppendUint64(b, uint64(len(payload)))
	return sha256.Sum256(append(b, payload...))
}

// A release that computes another one of these makes a mismatch of every retry
// of a request that an older release has answered.
func TestFingerprintIsFrozen(t *testing.T) {
	t.Parallel()
	const rfc8785 = `{"numbers": [333333333.33333329, 1E30, 4.50, 2e-3, 0.000000000000000000000000001],
		"string": "\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/", "literals": [null, true, false]}`
	for name, c := range map[string]struct {
		operation string
		payload   any
		exclude   []string
		want      string
	}{
		"JSON": {
			"POST /orders", json.RawMessage(`{"currency":"EUR","amount":100}`), nil,
			"0aef3c5913e60720e8b0e19169414676617438ab4b18c7030741a5910541fcd9",
		},
		"Go value": {
			"POST /orders",
			map[string]any{"amount": 1e2, "currency": "EUR"},
			nil,
			"0aef3c5913e60720e8b0e19169414676617438ab4b18c7030741a5910541fcd9",
		},
		"excluded": {
			"POST /orders", json.RawMessage(`{"at":1,"currency":"EUR","amount":100}`),
			[]string{"at"},
			"0aef3c5913e60720e8b0e19169414676617438ab4b18c7030741a5910541fcd9",
		},
		"raw": {
			"POST /orders", idemtx.Raw(`{"amount":100,"currency":"EUR"}`), nil,
			"03a0fb059963d04991df387382dc1d717530b39447ff5c6398a4cfe97040a40a",
		},
		"raw bytes": {
			"POST /files",
			idemtx.Raw{0x00, 0x01, 0xff},
			nil,
			"f72674a92ea2945ec30b96d29539cb3f6aebadfc45026f4f6481c6515c1784c3",
		},
		"nothing":     {"", nil, nil, "1c8d08f422f8a0e36bb0c363921683ec538d01c12be18165d68f84d8627ffa6b"},
		"nothing raw": {"", idemtx.Raw(nil), nil, "84eae41bd90b5e501d19938b3925a27219c923b0f6f0bfafbe3c14a2d80fe064"},
		"RFC 8785": {
			"POST /größe", json.RawMessage(rfc8785), nil,
			"716d7d18d3df353b37b74201cbd0f7b8c48632570d907b0acfa955eb48a1e1e9",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := fingerprint(t, c.operation, c.payload, c.exclude...)
			require.Equal(t, c.want, hex.EncodeToString(f[:]))
		})
	}
}

func TestOperationAndPayloadStayApart(t *testing.T) {
	t.Parallel()
	seen := map[idemtx.Fingerprint]string{}
	for _, c := range []struct {
		operation string
		payload   any
	}{
		{"", idemtx.Raw("")},
		{"", idemtx.Raw("ab")},
		{"a", idemtx.Raw("b")},
		{"ab", idemtx.Raw("")},
		{"POST /orders", json.RawMessage(`{}`)},
		{"POST /orders/", json.RawMessage(`{}`)},
		{"post /orders", json.RawMessage(`{}`)},
		{"POST /orders", idemtx.Raw(`{}`)},
		{"POST /orders", idemtx.Raw(`{ }`)},
		{"POST /orders", "{}"},
		{"POST /orders", []byte("{}")},
	} {
		f := fingerprint(t, c.operation, c.payload)
		require.NotContains(t, seen, f)
		seen[f] = c.operation
	}
}

func TestOperationIsBounded(t *testing.T) {
	t.Parallel()
	const rule = "idemtx: invalid request: the operation must be valid UTF-8 of at most 1024 bytes"
	for _, operation := range []string{strings.Repeat("o", 1025), "secret\xff"} {
		_, err := idemtx.FingerprintOf(operation, nil)
		require.ErrorIs(t, err, idemtx.ErrInvalidRequest)
		require.EqualError(t, err, rule)
	}
	longest := strings.Repeat("o", 1024)
	require.Equal(t, digest(longest, 'j', "null"), fingerprint(t, longest, nil))
}

// Each line is one request, spelled in several ways.
func TestSpellingMakesNoDifference(t *testing.T) {
	t.Parallel()
	for canonical, spellings := range map[string][]string{
		`{"a":1,"b":[2,{"c":3,"d":4}]}`: {
			` { "b" : [ 2 , { "d" : 4, "c" : 3 } ] , "a" : 1 } `, "{\"a\":1,\n\t\"b\":[2,\r\n{\"c\":3,\"d\":4}]}",
		},
		`{"a":1}`:           {`{"\u0061":1}`, `{"\u0061":1e0}`},
		`"A/\n€🙂"`:          {`"\u0041\/\u000a\u20ac\ud83d\ude42"`, `"\u0041/\u000A\u20AC\uD83D\uDE42"`},
		`"<>&"`:             {`"\u003c\u003e\u0026"`},
		"\"\u2028\u2029\"":  {`"\u2028\u2029"`},
		`"\u0000"`:          {},
		`0`:                 {`-0`, `0.0`, `-0.0`, `0e9`, `-0E-9`, `0e99999999999`},
		`1`:                 {`1.0`, `1e0`, `10E-1`, `0.1e1`, `1.00000000000000000000`},
		`100`:               {`1e2`, `1E+2`, `100.0`},
		`-1.5`:              {`-1.50`, `-15e-1`},
		`1e-7`:              {`0.0000001`, `1E-07`},
		`1e+21`:             {`1e21`, `1000000000000000000000.0`},
		`9007199254740992`:  {`9007199254740992.0`, `9007199254740992e0`},
		`-9007199254740992`: {`-9.007199254740992e15`},
		`5e-324`:            {`4.9406564584124654e-324`},
		// Sorted by UTF-16, in which a surrogate pair comes before U+E000.
		"{\"🙂\":1,\"\ue000\":2}": {`{"\ue000":2,"\ud83d\ude42":1}`},
	} {
		for _, spelling := range append(spellings, canonical) {
			require.Equal(t, digest("POST /orders", 'j', canonical), ofJSON(t, spelling), spelling)
		}
	}
}

func TestMeaningMakesADifference(t *testing.T) {
	t.Parallel()
	seen := map[idemtx.Fingerprint]string{}
	for _, text := range []string{
		`null`, `true`, `false`, `""`, `"null"`, `[]`, `{}`, `[null]`, `{"a":null}`, `[[]]`, `[{}]`,
		`1`, `-1`, `"1"`, `[1]`, `{"a":1}`, `{"A":1}`, `{"a":"1"}`, `{"b":1}`, `{"a":1,"b":1}`, `{"a":{"b":1}}`,
		`[1,2]`, `[2,1]`, `"e\u0301"`, `"\u00e9"`, `" "`, `"\u0000"`, `"\ufffd"`,
		`9007199254740991`, `9007199254740992`, `9007199254740993`, `-9007199254740992`, `-9007199254740993`,
		`18446744073709551615`, `18446744073709551616`,
		`100000000000000000000000000000001`, `100000000000000000000000000000002`,
		`0.1`, `0.10000000000000002`, `1e300`, `1e301`, `1e-300`, `1e-301`,
	} {
		f := ofJSON(t, text)
		require.NotContains(t, seen, f, text)
		seen[f] = text
	}
}

func TestCallersBytesStayAsTheyAre(t *testing.T) {
	t.Parallel()
	b := []byte(` { "b" : 1.0 , "a" : "\u0061", "t" : 1 } `)
	before := bytes.Clone(b)
	for _, payload := range []any{
		json.RawMessage(b), jsontext.Value(b), ownBytes(b), map[string]any{"a": ownBytes(b)}, (*json.RawMessage)(&b),
	} {
		fingerprint(t, "POST /orders", payload)
		fingerprint(t, "POST /orders", payload, "t", "a.b")
		require.Equal(t, before, b)
	}
	fingerprint(t, "POST /orders", idemtx.Raw(b))
	require.Equal(t, before, b)
}

// ownBytes hands out its own bytes as its JSON.
type ownBytes []byte

func (b ownBytes) MarshalJSON() ([]byte, error) { return b, nil }

func BenchmarkFingerprintOf(b *testing.B) {
	text := json.RawMessage(`{"currency":"EUR","customer":{"id":12345,"name":"Grüße"},"items":[` +
		strings.Repeat(`{"sku": "SKU-1", "price": 12.50, "quantity": 3},`, 20) + `null]}`)
	var value any
	require.NoError(b, json.Unmarshal(text, &value))
	for name, c := range map[string]struct {
		payload any
		exclude []string
	}{
		"raw":      {idemtx.Raw(text), nil},
		"JSON":     {text, nil},
		"value":    {value, nil},
		"excluded": {text, []string{"customer.name", "trace"}},
	} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := idemtx.FingerprintOf("POST /orders", c.payload, c.exclude...); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
