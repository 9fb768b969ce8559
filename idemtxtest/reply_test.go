package idemtxtest

import (
	"encoding/json"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemtx"
)

func answered(t *testing.T, text string) answer {
	t.Helper()
	tree, err := parse([]byte(text))
	require.NoError(t, err)
	return answer{tree: tree}
}

func TestPlacesInAReply(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		clean, other, run string
		differs           []string
	}{
		{`{"id":1,"sum":5}`, `{"id":2,"sum":5}`, `{"id":3,"sum":5}`, nil},
		{`{"id":1,"sum":5}`, `{"id":2,"sum":5}`, `{"id":3,"sum":10}`, []string{"/sum"}},
		{`{"a":[{"id":1,"b":null}]}`, `{"a":[{"id":2,"b":null}]}`, `{"a":[{"id":3,"b":true}]}`, []string{"/a/0/b"}},
		{`{"a":[1]}`, `{"a":[1]}`, `{"a":[1,1]}`, []string{"/a"}},
		{`{"a":[1]}`, `{"a":[1,2]}`, `{"a":[1,2,3]}`, nil},
		{`{"a":{"b":1}}`, `{"a":7}`, `{"a":{"b":2}}`, nil},
		{`{"a/b":1,"c~d":1}`, `{"a/b":1,"c~d":1}`, `{"a/b":2,"c~d":2}`, []string{"/a~1b", "/c~0d"}},
		{`{"a":1}`, `{"a":1}`, `{"b":1}`, []string{""}},
		{`{"a":1}`, `{"a":1}`, `{"a":1,"b":1}`, []string{""}},
		{`1`, `2`, `3`, nil},
		{`100`, `100`, `1e2`, nil},
		{`9007199254740993`, `9007199254740993`, `9007199254740992`, []string{""}},
		{`"a"`, `"a"`, `"b"`, []string{""}},
		{`{"aa":1,"a":1}`, `{"aa":1,"a":2}`, `{"aa":2,"a":3}`, []string{"/aa"}},
	} {
		m := learnAnswer(answered(t, test.clean), answered(t, test.other))
		differs := m.differences(answered(t, test.run))
		slices.Sort(differs)
		if test.differs == nil {
			require.Empty(t, differs, test.run)
			continue
		}
		require.Equal(t, test.differs, differs, test.run)
	}
}

func TestRefusalAndBodyAreOfTheReply(t *testing.T) {
	t.Parallel()
	m := learnAnswer(answered(t, "1"), answered(t, "2"))
	a := answered(t, "3")
	a.refused, a.body = true, []byte("b")
	require.Equal(t, []string{"(being refused)", "(the body)"}, m.differences(a))
}

func TestRepliesAreTheSameToTheirCaller(t *testing.T) {
	t.Parallel()
	now := time.Now()
	reply := func(text string) idemtx.Reply[json.RawMessage] {
		return idemtx.Reply[json.RawMessage]{Value: json.RawMessage(text), CreatedAt: now, ExpiresAt: now.Add(time.Hour)}
	}
	first := reply(`{"a":1e2,"b":[]}`)
	require.True(t, same(first, reply(`{"b": [], "a": 100}`)))
	require.False(t, same(first, reply(`{"b": [], "a": 101}`)))
	for _, change := range []func(*idemtx.Reply[json.RawMessage]){
		func(r *idemtx.Reply[json.RawMessage]) { r.Refused = true },
		func(r *idemtx.Reply[json.RawMessage]) { r.CreatedAt = now.Add(1) },
		func(r *idemtx.Reply[json.RawMessage]) { r.ExpiresAt = now },
	} {
		other := first
		change(&other)
		require.False(t, same(first, other))
	}
}
