package idemtx_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemtx"
)

func nested(depth int) string {
	return strings.Repeat("[", depth) + strings.Repeat("]", depth)
}

func TestRefusedJSON(t *testing.T) {
	t.Parallel()
	const (
		none    = "there is no JSON"
		short   = "the JSON ends too early"
		more    = "there is something after the JSON value"
		bad     = "the text is not valid JSON"
		twice   = "the member name occurs twice"
		utf     = "the text is not valid UTF-8"
		escape  = "the escape is not valid, or a lone surrogate"
		large   = "the number is too large for a float64"
		small   = "the number is too small for a float64"
		long    = "the number has more than 1024 bytes"
		tooDeep = "arrays and objects nest deeper than 256"
	)
	for name, c := range map[string]struct{ text, at, rule string }{
		"nothing":             {"", "", none},
		"white space":         {" \n", "", none},
		"open object":         {`{"a":[{"b":`, "/a/0/b", short},
		"open string":         {`{"a":"secret`, "/a", short},
		"open literal":        {`[tru`, "/0", short},
		"open escape":         {`["secret\u00`, "/0", short},
		"second value":        {`{"a":1} {"a":1}`, "", more},
		"second number":       {`1 2`, "", more},
		"number and letters":  {`1secret`, "", more},
		"trailing comma":      {`{"a":1},`, "", more},
		"trailing bracket":    {`[1]]`, "", more},
		"trailing U+0000":     {"[1]\x00", "", more},
		"word":                {`secret`, "", bad},
		"literal":             {`{"a":[1,trie]}`, "/a/1", bad},
		"single quotes":       {`{'a':1}`, "", bad},
		"comma in object":     {`{"a":1,}`, "", bad},
		"comma in array":      {`[1,]`, "", bad},
		"no comma":            {`{"a":[1 2]}`, "/a", bad},
		"no colon":            {`{"a" 1}`, "/a", bad},
		"name is no string":   {`{1:"secret"}`, "", bad},
		"wrong bracket":       {`{"a":[1}`, "/a", bad},
		"comment":             {`{"a":/*secret*/1}`, "/a", bad},
		"byte order mark":     {"\ufeff{}", "", bad},
		"line feed in string": {"{\"a\":\"secret\nsecret\"}", "/a", bad},
		"leading zero":        {`{"a":01}`, "", bad},
		"plus":                {`[+1]`, "/0", bad},
		"no digit":            {`[.5]`, "/0", bad},
		"hexadecimal":         {`[0x10]`, "", bad},
		"NaN":                 {`{"a":NaN}`, "/a", bad},
		"Infinity":            {`{"a":-Infinity}`, "/a", bad},

		"name twice":            {`{"a":"secret","a":"secret"}`, "/a", twice},
		"name twice, escaped":   {`{"b":[{"a":1,"\u0061":2}]}`, "/b/0/a", twice},
		"empty name twice":      {`{"b":{"":1,"":2}}`, "/b/", twice},
		"name with slash twice": {`{"a/b~":1,"a/b~":2}`, "/a~1b~0", twice},

		"broken UTF-8":         {"{\"a\":\"secret\xff\"}", "/a", utf},
		"cut off rune":         {"{\"a\":[\"\xe2\x82\"]}", "/a/0", utf},
		"overlong form":        {"[\"\xc0\xaf\"]", "/0", utf},
		"UTF-8 of a surrogate": {"[\"\xed\xa0\x80\"]", "/0", utf},
		"broken UTF-8 in name": {"{\"a\":{\"b\xff\":1}}", "/a", utf},
		"lone high surrogate":  {`{"a":"secret\ud800"}`, "/a", escape},
		"lone low surrogate":   {`{"a":"secret\udc00 "}`, "/a", escape},
		"surrogates reversed":  {`["\udc00\ud800"]`, "/0", escape},
		"two high surrogates":  {`["\ud800\ud800"]`, "/0", escape},
		"surrogate in name":    {`{"\ud800":1}`, "", escape},
		"unknown escape":       {`["\x41"]`, "/0", escape},
		"short escape":         {`["\u41 "]`, "/0", escape},

		"1e400":               {`{"items":[{"price":1e400}]}`, "/items/0/price", large},
		"-1e400":              {`[-1E+400]`, "/0", large},
		"just too large":      {`1.7976931348623159e308`, "", large},
		"integer, 400 digits": {"[" + strings.Repeat("9", 400) + "]", "/0", large},
		"integer, 310 digits": {"-1" + strings.Repeat("0", 309), "", large},
		"integer, 309 digits": {strings.Repeat("9", 309), "", large},
		"huge exponent":       {`1e99999999999999999999`, "", large},
		"1e-400":              {`[0,1e-400]`, "/1", small},
		"just too small":      {`-2e-324`, "", small},
		"many zeros":          {"0." + strings.Repeat("0", 400) + "1", "", small},
		"324 zeros":           {"-0." + strings.Repeat("0", 324) + "1", "", small},
		"tiny exponent":       {`0.1e-99999999999999999999`, "", small},
		// Both are 1 to strconv, which reads no more than 10000 of an exponent.
		"long number":        {"1" + strings.Repeat("0", 10000) + "e-100000", "", long},
		"long fraction":      {"0." + strings.Repeat("0", 9999) + "1e100000", "", long},
		"number, 1025 bytes": {"1." + strings.Repeat("0", 1023), "", long},

		"too deep":      {nested(257), "/0" + strings.Repeat("/0", 99) + "...", tooDeep},
		"much too deep": {strings.Repeat(`{"a":`, 1e6), "/a" + strings.Repeat("/a", 99) + "...", tooDeep},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := idemtx.FingerprintOf("POST /orders", json.RawMessage(c.text))
			require.ErrorIs(t, err, idemtx.ErrInvalidRequest)
			place := "payload"
			if c.at != "" {
				place += " at " + c.at
			}
			require.EqualError(t, err, "idemtx: invalid request: "+place+": "+c.rule)
		})
	}
}

// What is just inside of the bounds that TestRefusedJSON is just outside of.
func TestAcceptedJSON(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		nested(256),
		strings.Repeat(`{"a":`, 256) + "1" + strings.Repeat("}", 256),
		`1.7976931348623157e308`, `1.7976931348623158e308`, `3e-324`, `-5e-324`,
		"1" + strings.Repeat("0", 308), strings.Repeat("9", 308),
		"0." + strings.Repeat("0", 300) + "1", "1." + strings.Repeat("0", 1022),
		"0e" + strings.Repeat("9", 100), "0." + strings.Repeat("0", 400),
		`"\ud83d\ude42"`, `"\u0000"`, `"\ufffd\uffff"`, `{"":""}`,
	} {
		ofJSON(t, text)
	}
}

func TestErrorsFitIntoOneLine(t *testing.T) {
	t.Parallel()
	for name, at := range map[string]string{
		"line\nfeed\u202e\u0000":  "/line\ufffdfeed\ufffd\ufffd",
		strings.Repeat("n", 199):  "/" + strings.Repeat("n", 199),
		strings.Repeat("n", 200):  "/" + strings.Repeat("n", 199) + "...",
		strings.Repeat("ü", 1000): "/" + strings.Repeat("ü", 99) + "...",
		strings.Repeat("€", 1000): "/" + strings.Repeat("€", 66) + "...",
	} {
		quoted, err := json.Marshal(name)
		require.NoError(t, err)
		_, err = idemtx.FingerprintOf("POST /orders", json.RawMessage("{"+string(quoted)+":1e400}"))
		require.EqualError(t, err, "idemtx: invalid request: payload at "+at+": the number is too large for a float64")
	}
}
