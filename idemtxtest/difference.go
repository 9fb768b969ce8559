package idemtxtest

import (
	"encoding/json"
	"math"
	"math/big"
	"strconv"
	"time"
)

// difference is by how much a value has changed, where that can be told, and the
// new value where not. Both are JSON. Floats are rounded by epsilon, the exact by
// zero.
func difference(old, value string, epsilon float64) string {
	if from, ok := number(old); ok {
		if to, ok := number(value); ok {
			return "by " + decimal(from, to, epsilon)
		}
	}
	if from, ok := moment(old); ok {
		if to, ok := moment(value); ok {
			return "by " + to.Sub(from).String()
		}
	}
	return value
}

// decimal writes the difference of two numbers. That of floats holds what they
// were rounded by, which depends on their size: it is cut off above that.
func decimal(from, to *big.Rat, epsilon float64) string {
	exact := new(big.Rat).Sub(to, from)
	if epsilon == 0 || exact.Sign() == 0 {
		return exact.RatString()
	}
	d, _ := exact.Float64()
	x, _ := from.Float64()
	y, _ := to.Float64()
	noise := math.Ceil(math.Log10(8 * epsilon * max(math.Abs(x), math.Abs(y))))
	// No more than nine digits, so that a third is the same whatever the noise.
	unit := max(int(noise), int(math.Floor(math.Log10(math.Abs(d))))-8)
	if unit > 0 {
		scale := math.Pow10(unit)
		return strconv.FormatFloat(math.Round(d/scale)*scale, 'g', -1, 64)
	}
	rounded, _ := strconv.ParseFloat(strconv.FormatFloat(d, 'f', -unit, 64), 64)
	return strconv.FormatFloat(rounded+0, 'g', -1, 64) // no negative zero
}

func number(text string) (*big.Rat, bool) {
	if text == "" || (text[0] != '-' && (text[0] < '0' || text[0] > '9')) {
		return nil, false // a Rat would take more than JSON has
	}
	return new(big.Rat).SetString(text)
}

// moment reads a date or a time as PostgreSQL writes them into JSON.
func moment(text string) (time.Time, bool) {
	var s string
	if json.Unmarshal([]byte(text), &s) != nil {
		return time.Time{}, false
	}
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05.999999", time.DateOnly} {
		if t, err := time.Parse(layout, s); err == nil {
			return t, true
		}
	}
	return time.Time{}, false
}
