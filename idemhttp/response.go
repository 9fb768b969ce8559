package idemhttp

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"github.com/idemtx/idemtx/idemtx"
)

// Response is a whole HTTP response. It can be the reply of [idemtx.Do],
// [idemtx.DoTx] and [idemtx.DoPool]: status and body are stored byte for byte,
// and the headers but for those of one sending, such as Set-Cookie.
type Response struct {
	Status int // 200 to 999; 0 is 200
	Header http.Header
	Body   []byte
}

var (
	_ idemtx.ReplyMarshaler   = Response{}
	_ idemtx.ReplyUnmarshaler = (*Response)(nil)
)

var (
	errTooLong  = fmt.Errorf("%w: it is longer than MaxReplyBytes", idemtx.ErrReplyNotStorable)
	errTrailers = fmt.Errorf("%w: it has trailers, which cannot be replayed", idemtx.ErrReplyNotStorable)
	errLength   = fmt.Errorf("%w: its body is not as long as its Content-Length says", idemtx.ErrReplyNotStorable)
	errStatus   = fmt.Errorf("%w: its status is not one that ends a request", idemtx.ErrReplyNotStorable)
)

// complete is r as it will be sent, in answer to a request with that method.
func (p *Protection) complete(r Response, method string) (Response, error) {
	r.Status = cmp.Or(r.Status, http.StatusOK)
	switch {
	case hasTrailers(r.Header):
		return Response{}, errTrailers
	case r.Status < 200 || r.Status > 999:
		return Response{}, errStatus
	case len(r.Body) > p.limit:
		return Response{}, errTooLong
	case !hasBody(r.Status):
		r.Body = nil
	}
	length := r.Header.Get("Content-Length")
	if announced, err := strconv.ParseUint(length, 10, 63); err == nil && hasBody(r.Status) &&
		method != http.MethodHead && announced != uint64(len(r.Body)) {
		return Response{}, errLength // half a reply, which net/http would have cut off
	}
	if r.Header == nil {
		r.Header = make(http.Header)
	}
	r.Header = without(r.Header, func(name string) bool {
		return framing[name] || name == expiresHeader || name == p.config.Policy.ReplayedHeader
	})
	// Without a body, HEAD may still tell the length of the one GET would get.
	if method == http.MethodHead && len(r.Body) == 0 && length != "" {
		r.Header.Set("Content-Length", length)
	}
	return r, nil
}

// Send writes the response. What comes after it is on its way to the client, so
// the transaction must have ended. Headers that outer middleware has set stay
// unless the response has them, too; Set-Cookie and Vary add up.
func (r Response) Send(w http.ResponseWriter) {
	header := w.Header()
	for name, values := range without(r.Header, func(name string) bool { return framing[name] }) {
		if name == "Set-Cookie" || name == "Vary" {
			values = append(header[name], values...)
		}
		header[name] = values
	}
	switch length, err := strconv.ParseUint(r.Header.Get("Content-Length"), 10, 63); {
	case len(r.Body) > 0:
		header.Set("Content-Length", strconv.Itoa(len(r.Body)))
	case err == nil: // to HEAD, of the body that GET would get
		header.Set("Content-Length", strconv.FormatUint(length, 10))
	}
	w.WriteHeader(cmp.Or(r.Status, http.StatusOK))
	if len(r.Body) > 0 {
		_, _ = w.Write(r.Body) // a client that is gone sends its request again
	}
}

// version of the record below. Rows outlive a deployment: who changes what is
// stored has to read the former versions for as long as replies are kept.
const version = 1

// record is the JSON of a stored response. The body stands beside it, because
// JSON would not keep its bytes.
type record struct {
	Version int                 `json:"v"`
	Status  int                 `json:"status"`
	Header  map[string][]string `json:"header"`
}

var errRecord = errors.New("idemtx: the stored reply is not one of idemhttp's, or of another version")

// MarshalReply returns what is stored, without what is of one sending.
func (r Response) MarshalReply() (json.RawMessage, []byte, error) {
	r.Status = cmp.Or(r.Status, http.StatusOK)
	if r.Status < 200 || r.Status > 999 {
		return nil, nil, errStatus // which UnmarshalReply would not take back
	}
	header := make(map[string][]string, len(r.Header))
	for name, values := range storable(r.Header) {
		header[widen(name)] = mapped(values, widen)
	}
	response, err := json.Marshal(record{Version: version, Status: r.Status, Header: header})
	return response, r.Body, err
}

// UnmarshalReply takes what MarshalReply has made.
func (r *Response) UnmarshalReply(response json.RawMessage, body []byte) error {
	var stored record
	if err := json.Unmarshal(response, &stored); err != nil {
		return errRecord // err may quote the reply
	}
	if stored.Version != version || stored.Status < 200 || stored.Status > 999 {
		return errRecord
	}
	header := make(http.Header, len(stored.Header)+2)
	for name, values := range stored.Header {
		header[narrow(name)] = mapped(values, narrow)
	}
	*r = Response{stored.Status, storable(header), bytes.Clone(body)} // whoever has written the row
	return nil
}

// widen makes a code point of each byte. A header holds any bytes, JSON does
// not, and its encoder would replace them without a word.
func widen(s string) string {
	runes := make([]rune, len(s))
	for i := range len(s) {
		runes[i] = rune(s[i])
	}
	return string(runes)
}

// narrow is the way back.
func narrow(s string) string {
	b := make([]byte, 0, len(s))
	for _, r := range s {
		b = append(b, byte(r))
	}
	return string(b)
}

// mapped keeps nil apart from empty, as net/http does: a Content-Type that is
// there and nil is one that is not to be guessed.
func mapped(values []string, f func(string) string) []string {
	if values == nil {
		return nil
	}
	out := make([]string, len(values))
	for i, value := range values {
		out[i] = f(value)
	}
	return out
}
