package idemhttp

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"

	"github.com/idemtx/idemtx/idemtx"
)

// reply is an HTTP response. As it is stored, its body stands beside the JSON,
// which would not keep its bytes.
type reply struct {
	status int
	header http.Header
	body   []byte
}

var (
	_ idemtx.ReplyMarshaler   = reply{}
	_ idemtx.ReplyUnmarshaler = (*reply)(nil)
)

// version of the record below. Rows outlive a deployment: who changes what is
// stored has to read the former versions for as long as replies are kept.
const version = 1

// record is the JSON of a stored reply.
type record struct {
	Version int                 `json:"v"`
	Status  int                 `json:"status"`
	Header  map[string][]string `json:"header"`
}

var errRecord = errors.New("idemtx: the stored reply is not one of idemhttp's, or of another version")

// MarshalReply leaves out what is not stored.
func (r reply) MarshalReply() (json.RawMessage, []byte, error) {
	header := make(map[string][]string, len(r.header))
	for name, values := range storable(r.header) {
		header[widen(name)] = mapped(values, widen)
	}
	response, err := json.Marshal(record{Version: version, Status: r.status, Header: header})
	return response, r.body, err
}

// UnmarshalReply takes what MarshalReply has made.
func (r *reply) UnmarshalReply(response json.RawMessage, body []byte) error {
	var stored record
	if err := json.Unmarshal(response, &stored); err != nil {
		return errRecord // err may quote the reply
	}
	if stored.Version != version || stored.Status < 100 || stored.Status > 999 {
		return errRecord
	}
	r.status, r.header, r.body = stored.Status, make(http.Header, len(stored.Header)), bytes.Clone(body)
	for name, values := range stored.Header {
		r.header[narrow(name)] = mapped(values, narrow)
	}
	return nil
}

// send writes the reply. What comes after it is on its way to the client, so the
// transaction must have ended.
func (r reply) send(w http.ResponseWriter, request *http.Request) {
	header := w.Header()
	for name, values := range r.header {
		if name == "Set-Cookie" || name == "Vary" {
			values = append(header[name], values...) // those of outer middleware hold as well
		}
		header[name] = values
	}
	// Without a body, HEAD may still tell the length of the one GET would get.
	if hasBody(r.status) && (request.Method != http.MethodHead || len(r.body) > 0) {
		header.Set("Content-Length", strconv.Itoa(len(r.body)))
	}
	w.WriteHeader(r.status)
	if len(r.body) > 0 {
		_, _ = w.Write(r.body) // a client that is gone sends its request again
	}
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
