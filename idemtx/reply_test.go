package idemtx

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const secret = "4242424242424242"

// order is a reply that is stored as its JSON.
type order struct {
	ID    int64    `json:"id"`
	Lines []string `json:"lines,omitempty"`
}

// page is a reply that says itself how it is stored, by value.
type page struct {
	status int
	text   []byte
}

func (p page) MarshalReply() (json.RawMessage, []byte, error) {
	return json.RawMessage(fmt.Sprintf(`{"status":%d}`, p.status)), p.text, nil
}

func (p *page) UnmarshalReply(response json.RawMessage, body []byte) error {
	var head struct{ Status int }
	err := json.Unmarshal(response, &head)
	p.status, p.text = head.Status, append([]byte(nil), body...)
	return err
}

// pointedPage has its methods on the pointer.
type pointedPage struct{ page }

func (p *pointedPage) MarshalReply() (json.RawMessage, []byte, error) { return p.page.MarshalReply() }

// oneWay encodes and does not decode.
type oneWay struct{ text string }

func (o oneWay) MarshalJSON() ([]byte, error)  { return json.Marshal(o.text) }
func (o *oneWay) UnmarshalJSON(b []byte) error { return &quotingError{string(b)} }

// shared is stored as the very bytes that it holds.
type shared struct{ response, body []byte }

func (s shared) MarshalReply() (json.RawMessage, []byte, error) { return s.response, s.body, nil }

func (s *shared) UnmarshalReply(response json.RawMessage, body []byte) error {
	s.response, s.body = response, body
	return nil
}

// unmarshalable does not encode.
type unmarshalable struct{ text string }

func (u unmarshalable) MarshalReply() (json.RawMessage, []byte, error) {
	return nil, nil, &quotingError{u.text}
}

// quotingError does what an encoder's errors do.
type quotingError struct{ value string }

func (e *quotingError) Error() string { return "cannot take " + e.value }

func roundTrip[T any](t *testing.T, value T) T {
	t.Helper()
	d, err := encode(unconnected(t, Config{}), value, nil)
	require.NoError(t, err)
	require.False(t, d.refused)
	r, err := reply[T](result{row: d.row(new(call), written{})})
	require.NoError(t, err)
	return r.Value
}

func TestAReplyComesBackAsItWas(t *testing.T) {
	t.Parallel()
	require.Equal(t, order{ID: math.MaxInt64, Lines: []string{"<&>", "\u2028", "é", `\u0000`}},
		roundTrip(t, order{ID: math.MaxInt64, Lines: []string{"<&>", "\u2028", "é", `\u0000`}}))
	require.Equal(t, &order{ID: 1}, roundTrip(t, &order{ID: 1}))
	require.Equal(t, order{}, roundTrip(t, order{}))
	require.Empty(t, roundTrip(t, ""))
	require.Equal(t, []byte{0, 255}, roundTrip(t, []byte{0, 255}))
	require.Equal(t, `{"a":1e308}`, string(roundTrip(t, json.RawMessage(`{"a":1e308}`))))
	require.Equal(t, map[string]any{"a": []any{nil, true}}, roundTrip[any](t, map[string]any{"a": []any{nil, true}}))
	require.Equal(t, struct{}{}, roundTrip(t, struct{}{}))
}

func TestNothingIsAReply(t *testing.T) {
	t.Parallel()
	require.Nil(t, roundTrip[*order](t, nil))
	require.Nil(t, roundTrip[map[string]int](t, nil))
	require.Nil(t, roundTrip[any](t, nil))
	d, err := encode[*order](unconnected(t, Config{}), nil, nil)
	require.NoError(t, err)
	require.Equal(t, "null", string(d.response)) // no response at all would be a claim
}

func TestAReplyMaySayItselfHowItIsStored(t *testing.T) {
	t.Parallel()
	store := unconnected(t, Config{})
	text := []byte("\x00\xff {}")
	want := draft{response: []byte(`{"status":201}`), body: text}

	d, err := encode(store, page{201, text}, nil)
	require.NoError(t, err)
	require.Equal(t, want, d)
	d, err = encode(store, pointedPage{page{201, text}}, nil)
	require.NoError(t, err)
	require.Equal(t, want, d)

	require.Equal(t, page{201, text}, roundTrip(t, page{201, text}))
	require.Equal(t, pointedPage{page{201, text}}, roundTrip(t, pointedPage{page{201, text}}))
}

func TestARefusalKeepsItsReply(t *testing.T) {
	t.Parallel()
	store := unconnected(t, Config{})
	for _, err := range []error{
		ErrRefused,
		fmt.Errorf("card: %w", ErrRefused),
		errors.Join(errors.New("declined"), fmt.Errorf("card: %w", ErrRefused)),
	} {
		d, err := encode(store, order{ID: 1}, err)
		require.NoError(t, err)
		require.Equal(t, draft{response: []byte(`{"id":1}`), refused: true}, d)
	}
	d, err := encode(store, math.NaN(), ErrRefused)
	require.ErrorIs(t, err, ErrReplyNotStorable)
	require.Equal(t, draft{}, d)
}

func TestTheErrorOfAHandlerComesBackAsItIs(t *testing.T) {
	t.Parallel()
	for _, failure := range []error{errors.New("broken"), fmt.Errorf("x: %w", ErrMismatch), ErrReplyNotStorable} {
		d, err := encode(unconnected(t, Config{}), math.NaN(), failure)
		require.Same(t, failure, err)
		require.Equal(t, draft{}, d)
	}
}

func TestWhatJsonbCannotHoldIsNotStorable(t *testing.T) {
	t.Parallel()
	store := unconnected(t, Config{})
	const notJSON, zero, encodes = "it is not valid JSON in UTF-8 with each member once", "it holds U+0000", "it does not encode"
	for rule, values := range map[string][]any{
		zero: {
			secret + "\x00",
			map[string]int{secret + "\x00": 1},
			`\` + "\x00", `\\` + "\x00",
			json.RawMessage(`"\u0000` + secret + `"`), json.RawMessage(`"\\\u0000"`), json.RawMessage(`{"a":{"\u0000":"` + secret + `"}}`),
		},
		notJSON: {
			json.RawMessage(`"` + secret + `\ud800"`), json.RawMessage(`"\udc00"`), json.RawMessage(`{"\ud800\ud800":1}`),
			shared{},
			shared{response: []byte(secret + "}")},
			shared{response: []byte("\"\xff\"")},
			shared{response: []byte("1 2")},
			shared{response: []byte("NaN")},
			shared{response: []byte(`{"a":1,}`)},
			shared{response: []byte(`"`)},
			shared{response: []byte(`"\`)},
		},
		encodes: {
			math.NaN(), math.Inf(-1), make(chan int), func() {}, json.RawMessage(secret + "}"),
			json.RawMessage{},
			json.Number(secret + "x"),
			unmarshalable{secret},
			json.RawMessage(strings.Repeat("[", 10_001) + strings.Repeat("]", 10_001)),
		},
	} {
		for _, value := range values {
			_, err := encode(store, value, nil)
			require.ErrorIs(t, err, ErrReplyNotStorable)
			require.EqualError(t, err, "idemtx: the reply cannot be stored: "+rule, "%T", value)
		}
	}
}

// jsonb writes a number out: the replay of ten bytes would have 131,074.
func TestAReplyIsNotLongerWhenItIsReplayed(t *testing.T) {
	t.Parallel()
	_, err := encode(unconnected(t, Config{}), json.RawMessage(`[1e131071]`), nil)
	require.ErrorIs(t, err, ErrReplyNotStorable)
}

func TestAnEscapedBackslashIsNotU0000(t *testing.T) {
	t.Parallel()
	store := unconnected(t, Config{})
	for _, response := range []string{`"\\u0000"`, `{"\\u0000":"\\\\u0000"}`, `"\"\\u0000\""`, `"\u0001u0000"`, `"u0000"`, `"\ud83d\ude00"`, `"\\"`} {
		_, err := encode(store, json.RawMessage(response), nil)
		require.NoError(t, err, response)
	}
}

func TestALongReplyIsNotStorable(t *testing.T) {
	t.Parallel()
	store := unconnected(t, Config{MaxReplyBytes: 1000})
	for size, storable := range map[int]bool{999: true, 1000: true, 1001: false, 100_000: false} {
		text := strings.Repeat("x", size-2) // and its quotes
		split := shared{response: []byte(`{}`), body: make([]byte, size-2)}
		for _, encoded := range []func() (draft, error){
			func() (draft, error) { return encode(store, text, nil) },
			func() (draft, error) { return encode(store, split, nil) },
		} {
			d, err := encoded()
			if !storable {
				require.EqualError(t, err, "idemtx: the reply cannot be stored: it has more than 1000 bytes")
				require.ErrorIs(t, err, ErrReplyNotStorable)
				continue
			}
			require.NoError(t, err)
			require.Len(t, append(d.response, d.body...), size)
		}
	}
}

func TestALargeReplyComesBackAsItWas(t *testing.T) {
	t.Parallel()
	large := strings.Repeat(`"\x`, 200_000)
	require.Equal(t, large, roundTrip(t, large))
}

func TestAReplyThatDoesNotDecodeIsNotStorable(t *testing.T) {
	t.Parallel()
	_, err := encode(unconnected(t, Config{}), oneWay{secret}, nil)
	require.EqualError(t, err, "idemtx: the reply cannot be stored: it does not decode into its own type")
	require.ErrorIs(t, err, ErrReplyNotStorable)
	var cause *quotingError
	require.ErrorAs(t, err, &cause)

	var inner fmt.Stringer = time.Second
	_, err = encode(unconnected(t, Config{}), inner, nil)
	require.ErrorIs(t, err, ErrReplyNotStorable, "an interface with methods does not decode")
}

func TestTheCauseOfAnEncodingErrorCanBeFound(t *testing.T) {
	t.Parallel()
	store := unconnected(t, Config{})
	_, err := encode(store, math.NaN(), nil)
	var unsupported *json.UnsupportedValueError
	require.ErrorAs(t, err, &unsupported)
	_, err = encode(store, unmarshalable{secret}, nil)
	var cause *quotingError
	require.ErrorAs(t, err, &cause)
	require.NotContains(t, err.Error(), secret)
}

func TestAStoredReplyOfAnotherTypeIsAnError(t *testing.T) {
	t.Parallel()
	stored := &row{Response: []byte(`{"id":"` + secret + `"}`), Refused: true, CreatedAt: time.Unix(1, 0), SecondsLeft: 60}
	r, err := reply[order](result{row: stored, replayed: true})
	require.EqualError(t, err, "idemtx: the stored reply does not decode: its type is idemtx.order now")
	require.Zero(t, r)
	var cause *json.UnmarshalTypeError
	require.ErrorAs(t, err, &cause)
	require.NotErrorIs(t, err, ErrReplyNotStorable)
}

func TestAReplyTellsWhatTheRowHolds(t *testing.T) {
	t.Parallel()
	created, expires := time.Unix(1, 0), time.Unix(2, 0)
	for _, flag := range []bool{true, false} {
		stored := &row{Response: []byte(`{"id":7}`), Refused: flag, CreatedAt: created, ExpiresAt: expires}
		r, err := reply[order](result{row: stored, replayed: !flag})
		require.NoError(t, err)
		require.Equal(t, Reply[order]{Value: order{ID: 7}, Replayed: !flag, Refused: flag, CreatedAt: created, ExpiresAt: expires}, r)
	}
}

func TestADraftBecomesTheRowThatALookupWillFind(t *testing.T) {
	t.Parallel()
	c := &call{fingerprint: Fingerprint{7}, ttl: time.Minute}
	w := written{CreatedAt: time.Unix(1, 0), ExpiresAt: time.Unix(2, 0)}
	r := draft{response: []byte("1"), body: []byte("2"), refused: true}.row(c, w)
	require.Equal(t, &row{
		Fingerprint: c.fingerprint[:], Response: []byte("1"), Body: []byte("2"), Refused: true,
		CreatedAt: w.CreatedAt, ExpiresAt: w.ExpiresAt, SecondsLeft: 60,
	}, r)
	answer, verdict := c.judge(r, Rerun)
	require.Same(t, r, answer)
	require.NoError(t, verdict)
}

func TestWhatAHandlerReturnedMayChangeAfterwards(t *testing.T) {
	t.Parallel()
	store := unconnected(t, Config{})
	lines := []string{"tea"}
	d, err := encode(store, order{ID: 1, Lines: lines}, nil)
	require.NoError(t, err)
	lines[0] = "coffee"
	require.JSONEq(t, `{"id":1,"lines":["tea"]}`, string(d.response))

	raw := json.RawMessage(`{"id":1}`)
	d, err = encode(store, raw, nil)
	require.NoError(t, err)
	raw[6] = '2'
	require.Equal(t, `{"id":1}`, string(d.response))
}

func TestACallerMayChangeItsReply(t *testing.T) {
	t.Parallel()
	stored := &row{Response: []byte(base64JSON("tea")), SecondsLeft: 60}
	first, err := reply[[]byte](result{row: stored})
	require.NoError(t, err)
	copy(first.Value, "cat")
	raw, err := reply[json.RawMessage](result{row: stored})
	require.NoError(t, err)
	copy(raw.Value, "garbage")

	again, err := reply[[]byte](result{row: stored, replayed: true})
	require.NoError(t, err)
	require.Equal(t, "tea", string(again.Value))
}

func base64JSON(text string) string {
	return `"` + base64.StdEncoding.EncodeToString([]byte(text)) + `"`
}

// A handler may use its buffer again while its answer is passed on to others.
func TestWhatAReplyMarshalerReturnedMayChangeAfterwards(t *testing.T) {
	t.Parallel()
	store, text := unconnected(t, Config{}), []byte("tea")
	d, err := encode(store, page{201, text}, nil)
	require.NoError(t, err)
	copy(text, "cat")
	require.Equal(t, "tea", string(d.body))

	raw := shared{response: []byte(`"tea"`)}
	d, err = encode(store, raw, nil)
	require.NoError(t, err)
	copy(raw.response, `"cat"`)
	require.Equal(t, `"tea"`, string(d.response))
}

// A handler that returns a pointer gets its body back, as one that returns the
// value does.
func TestAPointerToAReplyKeepsItsBody(t *testing.T) {
	t.Parallel()
	require.Equal(t, &page{201, []byte("text")}, roundTrip(t, &page{201, []byte("text")}))
}

// What is stored beside the response and cannot be given back is not a reply.
func TestABodyThatNothingTakesBackIsNotStorable(t *testing.T) {
	t.Parallel()
	_, err := encode[any](unconnected(t, Config{}), page{201, []byte("text")}, nil)
	require.ErrorIs(t, err, ErrReplyNotStorable)
}

func TestNoReplyOfATypeThatMarshalsItself(t *testing.T) {
	t.Parallel()
	require.Nil(t, roundTrip[*page](t, nil))
}
