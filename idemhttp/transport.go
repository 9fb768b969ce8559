package idemhttp

import (
	"crypto/rand"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Transport is an [http.RoundTripper] that gives each request an Idempotency-Key,
// and sends it again with the same key when it is not known whether it has
// happened, or when it may yet. The server must know the header: one that does
// what draft-ietf-httpapi-idempotency-key-header-07 says, such as [Middleware].
// Any other does the request again.
//
//	client := &http.Client{Transport: &idemhttp.Transport{}, Timeout: time.Minute}
//
// The zero value is ready. A Transport may be used by many goroutines at once,
// and must not be changed after its first use.
//
// # What is sent again
//
// A request that Base has an error for, unless its context has ended, its own
// body could not be read, or the server's certificate is not trusted, which no
// retry mends. And a request that is answered with 429, 502, 503 or 504, or with
// a 409 that has a valid Retry-After, as a request in flight has: a 409 without
// one is a conflict that stays. Everything else is the answer, 500 and 422
// included.
//
// After MaxAttempts, or if the next would come after the context's deadline, the
// last response or error is returned as it is, and at once.
//
// A body is sent again only if the request has GetBody, which [http.NewRequest]
// sets for a [bytes.Buffer], a [bytes.Reader] and a [strings.Reader]. Any other,
// a file for one, is sent once, with a key. So is a request whose scheme is not
// http or https.
//
// An [http.Transport] as Base has a retry of its own, which is not counted here:
// when a connection that it had kept turns out to be dead, it sends a request that
// has an Idempotency-Key again at once, with the same key. A server may so see
// more requests than MaxAttempts.
//
// # How long it takes
//
// The deadline of the request's context and [http.Client.Timeout] are for all
// attempts and the waits between them. Set one: there is no other limit on how
// long a server may take. A limit for each attempt belongs into Base, as does
// what is to see each attempt: signing, tracing, metrics.
//
// # One key over several calls
//
// A key is new for each call of RoundTrip. A caller who goes on when Transport
// has given up, or who must be able to after a crash, chooses the key, stores it
// with what it is for, and sets the header: a request that has an Idempotency-Key
// keeps it, however it is spelled. After an error there is no response to find a
// key of Transport's own in.
//
// Transport is done when the response's header is there, and its body can still
// fail. The key is then in the header of the response's Request, which is the
// request as it was sent.
//
// A redirection that [http.Client] follows is a request of its own: with 307 and
// 308, a POST with a new key. A key that the caller has set goes along, to other
// hosts too.
type Transport struct {
	// Base sends each attempt.
	//
	// Defaults to [http.DefaultTransport].
	Base http.RoundTripper

	// Methods are those of the requests that get a key. Requests with others go
	// to Base as they are, once.
	//
	// Defaults to POST and PATCH.
	Methods []string

	// NewKey returns a key that no other request has or will have, and that
	// nobody can guess: 1 to 255 bytes of printable ASCII. Anything else, or what
	// [ParseKey] would not read back from the header, is an error that names the
	// rule, and nothing is sent.
	//
	// It must not derive the key from the request: two equal orders are two.
	//
	// Defaults to a random UUID (version 4).
	NewKey func() string

	// Raw sends keys as they are, as Stripe's API has it. Servers that follow
	// the draft to the letter refuse that.
	//
	// Defaults to false: a String of RFC 9651, in quotes.
	Raw bool

	// MaxAttempts is how often a request is sent at most, the first included.
	//
	// Defaults to 5. With the waits below they go on for 3 to 9 seconds: enough for
	// a server to be replaced, and not so often that it cannot come back up.
	MaxAttempts int

	// MinWait is the shortest wait between two attempts. The first is a random time
	// between MinWait and three times that, and each after it twice as long, so
	// that clients who have failed together do not come back together.
	//
	// Defaults to 200 milliseconds.
	MinWait time.Duration

	// MaxWait is the longest wait between two attempts. A response can ask for more
	// than the wait whose turn it is, in Retry-After (RFC 9110, section 10.2.3), and
	// gets it. One that asks for more than MaxWait is returned at once. A value that
	// is neither seconds nor a date counts as none.
	//
	// Defaults to 30 seconds.
	MaxWait time.Duration
}

// RoundTrip sends r with a key, and again if need be; see [Transport].
func (t *Transport) RoundTrip(r *http.Request) (*http.Response, error) {
	if !slices.Contains(t.methods(), r.Method) {
		return t.base().RoundTrip(r)
	}
	header, err := t.keyed(r.Header)
	if err != nil {
		if r.Body != nil {
			_ = r.Body.Close()
		}
		return nil, err
	}
	return t.retry(r, header)
}

// CloseIdleConnections is what [http.Client.CloseIdleConnections] calls. It asks
// Base to do so, if Base can.
func (t *Transport) CloseIdleConnections() {
	if base, ok := t.base().(interface{ CloseIdleConnections() }); ok {
		base.CloseIdleConnections()
	}
}

func (t *Transport) base() http.RoundTripper {
	if t.Base == nil {
		return http.DefaultTransport
	}
	return t.Base
}

func (t *Transport) methods() []string {
	if len(t.Methods) == 0 {
		return []string{http.MethodPost, http.MethodPatch}
	}
	return t.Methods
}

// keyed is h with a key: its own, or a new one in a copy. A header without a
// value is none, because it is not sent.
func (t *Transport) keyed(h http.Header) (http.Header, error) {
	for name, values := range h {
		if len(values) > 0 && http.CanonicalHeaderKey(name) == keyHeader {
			return h, nil
		}
	}
	value, err := t.newValue()
	if err != nil {
		return nil, err
	}
	header := http.Header{}
	maps.Copy(header, h)
	header[keyHeader] = []string{value}
	return header, nil
}

// newValue is a new key as the header has it.
func (t *Transport) newValue() (string, error) {
	newKey := t.NewKey
	if newKey == nil {
		newKey = randomUUID
	}
	key := newKey()
	value := key
	if !t.Raw {
		value = `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(key) + `"`
	}
	switch read, err := ParseKey([]string{value}); {
	case err != nil:
		return "", err
	case read != key:
		return "", badKey("begins or ends with a space, or is in quotes already")
	}
	return value, nil
}

// randomUUID is one of version 4 (RFC 9562, section 5.4).
func randomUUID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
