package idemui

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestNumber(t *testing.T) {
	t.Parallel()
	for n, want := range map[int]string{0: "0", 999: "999", 1000: "1,000", 1234567: "1,234,567", -1: "-1", -123: "-123", -1234: "-1,234"} {
		assert.Equal(t, want, number(n))
	}
}

func TestSize(t *testing.T) {
	t.Parallel()
	for n, want := range map[int64]string{
		0: "0 B", 1023: "1,023 B", 1024: "1.0 KiB", 10<<10 - 1: "10 KiB", 1<<20 - 1: "1.0 MiB",
		388 << 20: "388 MiB", 3 << 40: "3.0 TiB", 1<<63 - 1: "8192 PiB",
	} {
		assert.Equal(t, want, size(n))
	}
}

func TestSpan(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]string{
		-time.Hour: "0 s", 0: "0 s", time.Microsecond: "1 ms", 350 * time.Millisecond: "350 ms", 1900 * time.Millisecond: "1 s",
		time.Minute: "1 min", 192 * time.Second: "3 min 12 s", time.Hour + 30*time.Second: "1 h",
		27 * time.Hour: "1 d 3 h", 366 * 24 * time.Hour: "366 d",
	} {
		assert.Equal(t, want, span(d))
	}
}

func TestPercent(t *testing.T) {
	t.Parallel()
	for want, of := range map[string][2]int{
		"–": {0, 0}, "0 %": {0, 9}, "<1 %": {1, 1000}, "1 %": {1, 100}, "33 %": {1, 3}, "67 %": {2, 3}, ">99 %": {999, 1000}, "100 %": {7, 7},
	} {
		assert.Equal(t, want, percent(of[0], of[1]))
	}
}
