package main

import (
	"bytes"
	"net"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
)

// asExpected are results in which every count is right.
func asExpected() []result {
	var results []result
	for _, s := range scenarios {
		got := s.want
		got.taken = got.orders
		results = append(results, result{s, got})
	}
	return results
}

func TestTable(t *testing.T) {
	t.Parallel()
	results := asExpected()
	results[1].got.orders, results[1].got.mails, results[1].got.agree = 12, 0, 0
	var out bytes.Buffer
	writeTable(&out, results)
	require.Equal(t, `
                                            requests sent  orders that exist  mails sent  replies that agree  expected
co-transaction
  100 times at once                                   100                  1           1          100 of 100  1 order, 1 mail
  killed between its write and its commit               3                 12           0              0 of 2  1 order, 1 mail
  killed between its commit and its answer              3                  1           1              2 of 2  1 order, 1 mail
pool mode
  100 times at once                                   100                  1           1          100 of 100  1 order, 1 mail
  killed between its write and its commit               3                  1           1              2 of 2  1 order, 1 mail
  killed between its commit and its answer              3                  2           1              2 of 2  2 orders, 1 mail
`, "\n"+out.String())
}

func TestVerdict(t *testing.T) {
	t.Parallel()
	require.NoError(t, verdict(asExpected()))

	for name, test := range map[string]struct {
		spoil func(*counts)
		text  string
	}{
		"sent":     {func(c *counts) { c.sent-- }, "requests sent: 2, expected 3"},
		"survived": {func(c *counts) { c.survived = 0 }, "orders after the crash: 0, expected 1"},
		"orders":   {func(c *counts) { c.orders = 1 }, "orders that exist: 1, expected 2"},
		"taken":    {func(c *counts) { c.taken++ }, "taken from the stock: 3, expected 2"},
		"mails":    {func(c *counts) { c.mails = 2 }, "mails sent: 2, expected 1"},
		"replies":  {func(c *counts) { c.replies-- }, "replies that came: 1, expected 2"},
		"agree":    {func(c *counts) { c.agree-- }, "replies that agree: 1, expected 2"},
		"replayed": {func(c *counts) { c.replayed++ }, "replies marked as replayed: 2, expected 1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			results := asExpected()
			test.spoil(&results[len(results)-1].got)
			require.EqualError(t, verdict(results),
				"pool mode, killed between its commit and its answer: "+test.text)
		})
	}
}

func TestRepliesThatAgree(t *testing.T) {
	t.Parallel()
	first := reply{status: http.StatusCreated, contentType: "application/json", body: []byte(`{"id":1}`)}
	replay, other, failed := first, first, first
	replay.replayed = true
	other.body = []byte(`{"id": 1}`)
	failed.status = http.StatusInternalServerError

	count := func(replies ...reply) (c counts) {
		c.countReplies(replies)
		return c
	}
	require.Equal(t, counts{replies: 3, agree: 3, replayed: 2}, count(first, replay, replay))
	require.Equal(t, counts{replies: 3, agree: 1}, count(first, other, failed))
	require.Equal(t, counts{replies: 2}, count(failed, failed), "that nothing was placed is no agreement")
}

func TestServeSaysThatThePortIsTaken(t *testing.T) {
	t.Parallel()
	other, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer other.Close()
	var out bytes.Buffer
	err = serve(t.Context(), options{addr: other.Addr().String()}, &out)
	require.EqualError(t, err, other.Addr().String()+" is taken by another program: choose another with -addr")
	require.Empty(t, out.String())
}
