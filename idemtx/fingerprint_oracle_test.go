package idemtx_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/gowebpki/jcs"
	"github.com/stretchr/testify/require"
)

// oracle is what another implementation of RFC 8785 makes of text.
func oracle(t *testing.T, text string) string {
	t.Helper()
	canonical, err := jcs.Transform([]byte(text))
	require.NoError(t, err, text)
	return string(canonical)
}

// The numbers of RFC 8785, appendix B.
func TestNumbersOfRFC8785(t *testing.T) {
	t.Parallel()
	for bits, canonical := range map[uint64]string{
		0x0000000000000000: "0",
		0x8000000000000000: "0",
		0x0000000000000001: "5e-324",
		0x8000000000000001: "-5e-324",
		0x7fefffffffffffff: "1.7976931348623157e+308",
		0xffefffffffffffff: "-1.7976931348623157e+308",
		0x4340000000000000: "9007199254740992",
		0xc340000000000000: "-9007199254740992",
		0x4430000000000000: "295147905179352830000",
		0x44b52d02c7e14af5: "9.999999999999997e+22",
		0x44b52d02c7e14af6: "1e+23",
		0x44b52d02c7e14af7: "1.0000000000000001e+23",
		0x444b1ae4d6e2ef4e: "999999999999999700000",
		0x444b1ae4d6e2ef4f: "999999999999999900000",
		0x444b1ae4d6e2ef50: "1e+21",
		0x3eb0c6f7a0b5ed8c: "9.999999999999997e-7",
		0x3eb0c6f7a0b5ed8d: "0.000001",
		0x41b3de4355555553: "333333333.3333332",
		0x41b3de4355555554: "333333333.33333325",
		0x41b3de4355555555: "333333333.3333333",
		0x41b3de4355555556: "333333333.3333334",
		0x41b3de4355555557: "333333333.33333343",
		0xbecbf647612f3696: "-0.0000033333333333333333",
		0x43143ff3c1cb0959: "1424953923781206.2",
	} {
		number := math.Float64frombits(bits)
		want := digest("POST /orders", 'j', canonical)
		require.Equal(t, want, fingerprint(t, "POST /orders", number), canonical)
		require.Equal(t, want, ofJSON(t, strconv.FormatFloat(number, 'e', 20, 64)), canonical)
		require.Equal(t, canonical, oracle(t, canonical))
	}
}

func TestRandomJSONIsWhatTheOracleMakesOfIt(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(8785, 1))
	for range 2000 {
		text := randomJSON(random, 4)
		require.Equal(t, digest("POST /orders", 'j', oracle(t, text)), ofJSON(t, text), text)
	}
}

// randomJSON spells a value as no encoder would: with white space and escapes
// anywhere, and members in any order.
func randomJSON(random *rand.Rand, depth int) string {
	space := strings.Repeat(" ", random.IntN(2)) + strings.Repeat("\n\t", random.IntN(2))
	kinds := 7
	if depth == 0 {
		kinds = 5
	}
	switch random.IntN(kinds) {
	case 0:
		return space + []string{"null", "true", "false"}[random.IntN(3)] + space
	case 1:
		return space + strconv.FormatInt(random.Int64N(1<<54)-1<<53, 10) + space
	case 2, 3:
		return space + randomFloat(random) + space
	case 4:
		return space + randomString(random) + space
	case 5:
		elements := make([]string, random.IntN(4))
		for i := range elements {
			elements[i] = randomJSON(random, depth-1)
		}
		return space + "[" + strings.Join(elements, ",") + space + "]"
	}
	members := map[string]string{}
	for range random.IntN(6) {
		name := randomString(random)
		var plain string
		if err := json.Unmarshal([]byte(name), &plain); err != nil {
			panic(err)
		}
		members[plain] = space + name + space + ":" + randomJSON(random, depth-1)
	}
	return space + "{" + strings.Join(slices.Collect(maps.Values(members)), ",") + space + "}"
}

func randomFloat(random *rand.Rand) string {
	for {
		number := math.Float64frombits(random.Uint64())
		if random.IntN(2) == 0 {
			number = math.Round(random.NormFloat64()*1e6) / 100
		}
		if math.IsNaN(number) || math.IsInf(number, 0) {
			continue
		}
		text := strconv.FormatFloat(number, "eEfg"[random.IntN(4)], []int{-1, 17, 25}[random.IntN(3)], 64)
		if !strings.ContainsAny(text, ".eE") {
			text += ".0" // with digits alone it is an integer, which is kept exactly
		}
		return text
	}
}

func randomString(random *rand.Rand) string {
	var b strings.Builder
	b.WriteByte('"')
	for range random.IntN(6) {
		limit := []int{0x80, 0x3000, 0x10000, 0x110000}[random.IntN(4)]
		r := rune(random.IntN(limit))
		escape := r < ' ' || r == '"' || r == '\\' || random.IntN(3) == 0
		switch {
		case utf16.IsSurrogate(r):
		case !escape:
			b.WriteRune(r)
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			fmt.Fprintf(&b, `\u%04x\u%04X`, high, low)
		default:
			fmt.Fprintf(&b, `\u%04X`, r)
		}
	}
	b.WriteByte('"')
	return b.String()
}
