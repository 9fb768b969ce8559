package idemtxtest

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// rows is a table with a key and some rows.
func rows(key string, texts ...string) *table {
	t := &table{rows: make(map[string]int)}
	if key != "" {
		t.key = []string{key}
	}
	for _, text := range texts {
		t.rows[text]++
	}
	return t
}

func change(before, after *table) delta {
	return between(snapshot{"s.t": before}, snapshot{"s.t": after})
}

func TestDifferencesAreToldInWords(t *testing.T) {
	t.Parallel()
	none := rows("id")
	for name, test := range map[string]struct {
		clean []delta
		run   delta
		told  []string
	}{
		"the same": {
			clean: []delta{change(none, rows("id", `{"id":1}`)), change(none, rows("id", `{"id":1}`))},
			run:   change(none, rows("id", `{"id":1}`)),
		},
		"a row more": {
			clean: []delta{change(none, rows("id", `{"id":1}`)), change(none, rows("id", `{"id":2}`))},
			run:   change(none, rows("id", `{"id":3}`, `{"id":4}`)),
			told:  []string{"s.t: 2 rows inserted, where one clean run has 1"},
		},
		"the same row twice": {
			clean: []delta{change(none, rows("", `{"a":1}`)), change(none, rows("", `{"a":1}`))},
			run:   change(none, rows("", `{"a":1}`, `{"a":1}`)),
			told:  []string{"s.t: 2 rows inserted, where one clean run has 1"},
		},
		"nothing": {
			clean: []delta{change(none, rows("id", `{"id":1}`)), change(none, rows("id", `{"id":2}`))},
			run:   delta{},
			told:  []string{"s.t: 0 rows inserted, where one clean run has 1"},
		},
		"another table": {
			clean: []delta{{}, {}},
			run:   change(rows("id", `{"id":1}`), none),
			told:  []string{"s.t: 1 row deleted, where one clean run has 0"},
		},
		"another value beside a number from a sequence": {
			clean: []delta{change(none, rows("id", `{"id":1,"sku":"a"}`)), change(none, rows("id", `{"id":2,"sku":"a"}`))},
			run:   change(none, rows("id", `{"id":3,"sku":"b"}`)),
			told:  []string{"s.t: the rows inserted differ in sku"},
		},
		"values in other rows": {
			clean: []delta{
				change(none, rows("", `{"a":1,"b":1}`, `{"a":2,"b":2}`)),
				change(none, rows("", `{"a":1,"b":1}`, `{"a":2,"b":2}`)),
			},
			run:  change(none, rows("", `{"a":1,"b":2}`, `{"a":2,"b":1}`)),
			told: []string{"s.t: the rows inserted differ in the combination of a, b"},
		},
		"values in other rows by chance": {
			clean: []delta{
				change(none, rows("", `{"a":1,"b":1}`, `{"a":2,"b":2}`)),
				change(none, rows("", `{"a":1,"b":2}`, `{"a":2,"b":1}`)),
			},
			run: change(none, rows("", `{"a":1,"b":3}`, `{"a":2,"b":4}`)),
		},
		// The sum of it is nothing each time.
		"a transfer that is done twice": {
			clean: []delta{
				change(rows("id", `{"id":1,"sum":0}`, `{"id":2,"sum":0}`), rows("id", `{"id":1,"sum":-5}`, `{"id":2,"sum":5}`)),
				change(rows("id", `{"id":1,"sum":-5}`, `{"id":2,"sum":5}`), rows("id", `{"id":1,"sum":-10}`, `{"id":2,"sum":10}`)),
			},
			run:  change(rows("id", `{"id":1,"sum":-10}`, `{"id":2,"sum":10}`), rows("id", `{"id":1,"sum":-20}`, `{"id":2,"sum":20}`)),
			told: []string{"s.t: the rows updated differ in sum"},
		},
		"an only row without a key": {
			clean: []delta{
				change(rows("", `{"sum":0}`), rows("", `{"sum":5}`)),
				change(rows("", `{"sum":5}`), rows("", `{"sum":10}`)),
			},
			run:  change(rows("", `{"sum":10}`), rows("", `{"sum":20}`)),
			told: []string{"s.t: the rows updated differ in sum"},
		},
		"a list of numbers": {
			clean: []delta{change(none, rows("", `7`)), change(none, rows("", `7`))},
			run:   change(none, rows("", `8`)),
			told:  []string{"s.t: the rows inserted differ in value"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e, differences := learn(test.clean...)
			require.Empty(t, differences)
			require.Equal(t, test.told, e.compare(test.run))
		})
	}
}

func TestCleanRunsThatDifferAreTold(t *testing.T) {
	t.Parallel()
	none := rows("id")
	_, differences := learn(change(none, rows("id", `{"id":1}`)), delta{})
	require.Equal(t, []string{"s.t: 0 rows inserted, where another clean run has 1"}, differences)
}

// A table may come and go with a run.
func TestTablesThatComeAndGo(t *testing.T) {
	t.Parallel()
	some := snapshot{"s.t": rows("id", `{"id":1}`)}
	require.Len(t, between(snapshot{}, some).rows("s.t", inserted), 1)
	require.Len(t, between(some, snapshot{}).rows("s.t", deleted), 1)
	require.Empty(t, between(some, some))
}

func TestWhatIsLeftIsToldInWords(t *testing.T) {
	t.Parallel()
	d := change(rows("id", `{"id":1,"a":1}`, `{"id":2}`, `{"id":3}`), rows("id", `{"id":1,"a":2}`, `{"id":4}`))
	require.Equal(t, []string{
		"the handler writes outside its transaction: s.t has 1 row more",
		"the handler writes outside its transaction: in s.t, 1 row changed",
		"the handler writes outside its transaction: s.t has 2 rows less",
	}, left(d))
	d["s.t"].external = true
	require.Empty(t, left(d))
}

func TestDifference(t *testing.T) {
	t.Parallel()
	const double, real = 0x1p-52, 0x1p-23
	for _, test := range []struct {
		old, value, want string
		epsilon          float64
	}{
		{`100.00`, `90.00`, "by -10", 0},
		{`90`, `90`, "by 0", 0},
		{`1000000000000000000000`, `1000000000000000000001`, "by 1", 0},
		{`0.1`, `0.3`, "by 1/5", 0},
		{`0.3`, `0.30000000000000004`, "by 0", double},
		{`100.3`, `100.2`, "by -0.1", double},
		{`100.2`, `100.10000000000001`, "by -0.1", double},
		{`0`, `12345.65`, "by 12345.65", double},
		{`12345.65`, `24691.3`, "by 12345.65", double},
		{`987654.33`, `1000000`, "by 12345.67", double},
		{`0`, `0.3333333333333333`, "by 0.333333333", double},
		{`9.666666666666666`, `10`, "by 0.333333333", double},
		{`1.0000001`, `1.1`, "by 0.1", real},
		{`1e20`, `1.1e20`, "by 1e+19", double},
		{`1`, `1`, "by 0", real},
		{`"2030-01-01T00:00:00+00:00"`, `"2030-01-31T00:00:00+00:00"`, "by 720h0m0s", 0},
		{`"2030-01-01T00:00:00.5"`, `"2030-01-01T00:00:01"`, "by 500ms", 0},
		{`"2030-01-01"`, `"2030-01-02"`, "by 24h0m0s", 0},
		{`null`, `90`, "90", 0},
		{`90`, `null`, "null", 0},
		{`"open"`, `"paid"`, `"paid"`, 0},
		{`"Inf"`, `1`, "1", 0},
		{`true`, `false`, "false", 0},
		{``, `1`, "1", 0},
	} {
		require.Equal(t, test.want, difference(test.old, test.value, test.epsilon), "%s to %s", test.old, test.value)
	}
}

func TestFirstUpsertsAreTold(t *testing.T) {
	t.Parallel()
	none, one, two := rows("id"), rows("id", `{"id":1,"n":1}`), rows("id", `{"id":1,"n":2}`)
	upsert, update := change(none, one), change(one, two)
	require.True(t, founds(upsert, update))
	require.False(t, founds(update, update))
	require.False(t, founds(upsert, upsert))
	require.False(t, founds(update, upsert))
	require.False(t, founds(upsert, delta{})) // it inserts what is not there
	require.False(t, founds(delta{}, update))
	require.False(t, founds(upsert, change(one, none)))
}

func TestWhatMayBeATime(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]bool{
		`"2030-01-01T10:00:00Z"`:          true,
		`"2030-01-01 10:00:00+00"`:        true,
		`"Tue, 01 Jan 2030 10:00:00 GMT"`: true,
		`"20300101T100000Z"`:              true,
		`1893492000`:                      true,
		`"1893492000"`:                    true,
		`"by 24h0m1s"`:                    false, // a text of the handler's
		`"2030-01-01"`:                    false,
		`"lamp"`:                          false,
		`100`:                             false,
	} {
		row := `{"a":` + value + `,"b":1}`
		e, _ := learn(change(rows(""), rows("", row)), change(rows(""), rows("", row)))
		require.Equal(t, want, e.mayHoldTimes(), value)
		tree, err := parse([]byte(`{"a":[` + value + `]}`))
		require.NoError(t, err)
		a := answer{tree: tree}
		require.Equal(t, want, learnAnswer(a, a).mayHoldTimes(), value)
		require.False(t, learnAnswer(a, answer{tree: map[string]any{"a": []any{true}}}).mayHoldTimes(), "it is not compared")
	}
	e, _ := learn(change(rows(""), rows("", `{"a":"10:00:00"}`)), change(rows(""), rows("", `{"a":"10:00:01"}`)))
	require.False(t, e.mayHoldTimes(), "it is not compared")
	later := change(rows("id", `{"id":1,"a":"2030-01-01T00:00:00"}`), rows("id", `{"id":1,"a":"2030-01-01T00:00:01"}`))
	e, _ = learn(later, later)
	require.True(t, e.mayHoldTimes(), "a difference of times")
}
