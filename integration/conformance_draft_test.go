package integration

import (
	"context"
	"io"
	"net/http"
	"regexp"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemhttp"
	"github.com/idemtx/idemtx/idemtx"
	"github.com/idemtx/idemtx/scope"
)

var draftKeyRules = []rule{
	{
		"2.1", must, "the value of the header is a String: quoted, with two escapes", byDefault,
		"the key is what the String says.", keyIsAString,
	},
	{
		"2.1", must, "a value of another type is no key", differs,
		"raw values are taken as well, because that is what most clients send. A key is the same quoted and raw. No setting refuses them.", rawIsAKey,
	},
	{
		"2.2", must, "the owner of the resource says within what a key is unique", byDefault,
		"`Config.Scope`, without which there is no middleware.", keyIsOfAScope,
	},
	{
		"2.2", must, "a key is not used again with another payload", byDefault,
		"such a request does not run, and the first one's reply stays.", keyIsOfAPayload,
	},
	{
		"2.2", recommended, "the key is a UUID or another random string", bySetting,
		"any key is taken; `Config.KeyFormat` asks for a UUID.", keyIsRandom,
	},
	{
		"2.3", may, "keys may be required to be of a time", bySetting,
		"`Config.KeyFormat`, as for UUIDs of version 7.", keyIsOfATime,
	},
	{
		"2.3", may, "a key is deleted upon its expiry", bySetting,
		"`Store.RunSweeper` or `Store.DeleteExpired`. An expired key is one that was never used, deleted or not.", keyIsPurged,
	},
	{
		"2.3", should, "the expiry policy is defined and made known", byDefault,
		"24 hours, or `idemtx.Config.TTL`. Every stored reply says until when: `Idempotency-Expires`.", expiryIsTold,
	},
	{
		"2.4", may, "a fingerprint of the payload is used together with the key", byDefault,
		"it does not replace the key: two equal payloads under two keys are two requests.", fingerprintIsNoKey,
	},
	{
		"2.4", may, "the fingerprint is a checksum of the whole payload", byDefault,
		"SHA-256, for bodies that are not JSON.", fingerprintOfBytes,
	},
	{
		"2.4", may, "the fingerprint compares the value of each field", byDefault,
		"for JSON, in canonical form: neither order nor white space matters.", fingerprintOfFields,
	},
	{
		"2.4", may, "the fingerprint compares selected fields", bySetting,
		"`Request.Exclude`, of what `Protection.Check` returns.", fingerprintOfSome,
	},
	{
		"2.4", may, "the fingerprint is a digest or signature that the request brings", bySetting,
		"`Request.Payload`, of what `Protection.Check` returns.", fingerprintOfDigest,
	},
}

func keyIsAString(t *testing.T) {
	s := served(t, idemhttp.Config{})
	first := s.send(s.keyed(`"say \"when\" \\ then"`))
	first.requireCreated(t)
	s.send(s.keyed(`"say \"when\" \\ then"`)).requireReplayOf(t, first)
	require.Equal(t, 1, s.rows(`say "when" \ then`))
}

func rawIsAKey(t *testing.T) {
	s := served(t, idemhttp.Config{})
	for _, raw := range []string{"order-1", "12345", ":YWJj:", "?1"} {
		first := s.send(s.keyed(raw))
		first.requireCreated(t)
		s.send(s.keyed(`"`+raw+`"`)).requireReplayOf(t, first)
	}
	for _, neither := range []string{"order,1", "order;1", `order"1`} {
		s.send(s.keyed(neither)).requireProblem(t, http.StatusBadRequest, "key_invalid")
	}
}

func keyIsOfAScope(t *testing.T) {
	f := newFixture(t)
	require.Panics(t, func() { idemhttp.Middleware(f.store, idemhttp.Config{}) })
	s := f.serve(idemhttp.Config{}, f.greets)
	first := map[string]heard{}
	for range 2 {
		for _, user := range []string{"annabel", "bob"} {
			r := s.keyed("1")
			r.Header.Set("X-User", user)
			got := s.send(r)
			require.Equal(t, "hello "+user, got.body)
			if _, again := first[user]; again {
				got.requireReplayOf(t, first[user])
			}
			first[user] = got
		}
	}
	require.EqualValues(t, 2, s.runs.Load())
}

// greets answers a client by name.
func (f *fixture) greets(w http.ResponseWriter, r *http.Request) {
	if err := f.insert(r, r.Header.Get("X-User")); err != nil {
		http.Error(w, err.Error(), http.StatusTeapot)
		return
	}
	_, _ = io.WriteString(w, "hello "+r.Header.Get("X-User"))
}

func keyIsOfAPayload(t *testing.T) {
	s := served(t, idemhttp.Config{})
	first := s.send(s.post("used", `{"sku": 1}`))
	first.requireCreated(t)
	s.send(s.post("used", `{"sku": 2}`)).requireProblem(t, http.StatusUnprocessableEntity, "mismatch")
	require.EqualValues(t, 1, s.runs.Load())
	require.Equal(t, 1, s.effects("used"))
	s.send(s.post("used", `{"sku": 1}`)).requireReplayOf(t, first)
}

const aUUID = "3d0ca315-aff9-4fc2-be61-3b76b9a2d798"

func keyIsRandom(t *testing.T) {
	s := served(t, idemhttp.Config{})
	s.send(s.keyed(aUUID)).requireCreated(t)
	s.send(s.keyed("order-1")).requireCreated(t)

	s = served(t, idemhttp.Config{KeyFormat: regexp.MustCompile(`[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}`)})
	s.send(s.keyed(`"` + aUUID + `"`)).requireCreated(t)
	for _, other := range []string{"order-1", aUUID + "0", "0" + aUUID} {
		s.send(s.keyed(other)).requireProblem(t, http.StatusBadRequest, "key_invalid")
	}
	require.EqualValues(t, 1, s.runs.Load())
}

func keyIsOfATime(t *testing.T) {
	version7 := regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}`)
	s := served(t, idemhttp.Config{KeyFormat: version7})
	s.send(s.keyed("019ab1f4-5c3d-7a2b-8c4d-0123456789ab")).requireCreated(t)
	s.send(s.keyed(aUUID)).requireProblem(t, http.StatusBadRequest, "key_invalid")
}

func keyIsPurged(t *testing.T) {
	s := served(t, idemhttp.Config{})
	for _, key := range []string{"old", "older"} {
		s.send(s.keyed(key)).requireCreated(t)
		s.expire(key)
	}
	s.send(s.keyed("live")).requireCreated(t)

	again := s.send(s.keyed("old"))
	again.requireCreated(t)
	require.False(t, again.replayed())
	require.Equal(t, 2, s.effects("old"))

	deleted, err := s.store.DeleteExpired(t.Context(), 100)
	require.NoError(t, err)
	require.EqualValues(t, 1, deleted)
	require.Zero(t, s.rows("older"))
	require.True(t, s.send(s.keyed("live")).replayed())
}

func expiryIsTold(t *testing.T) {
	for ttl, options := range map[time.Duration][]option{
		24 * time.Hour: nil,
		time.Hour:      {withConfig(func(c *idemtx.Config) { c.TTL = time.Hour })},
	} {
		s := served(t, idemhttp.Config{}, options...)
		for range 2 {
			told, err := http.ParseTime(s.send(s.keyed("told")).header.Get("Idempotency-Expires"))
			require.NoError(t, err)
			stored := ask[time.Time](t, "SELECT expires_at FROM "+s.table())
			require.Equal(t, stored.UTC().Truncate(time.Second), told.UTC())
		}
		require.Equal(t, int(ttl.Minutes()), ask[int](t,
			"SELECT round(extract(epoch FROM expires_at - created_at) / 60)::int FROM "+s.table()))
	}
}

func fingerprintIsNoKey(t *testing.T) {
	s := served(t, idemhttp.Config{})
	for _, key := range []string{"a", "b"} {
		got := s.send(s.post(key, `{"sku": "lamp"}`))
		got.requireCreated(t)
		require.False(t, got.replayed())
		require.Equal(t, 1, s.effects(key))
	}
	require.Equal(t, 1, ask[int](t, "SELECT count(DISTINCT fingerprint) FROM "+s.table()))
	s.send(s.post("a", `{"sku": "desk"}`)).requireProblem(t, http.StatusUnprocessableEntity, "mismatch")
}

func fingerprintOfBytes(t *testing.T) {
	s := served(t, idemhttp.Config{})
	text := func(body string) *http.Request {
		r := s.post("text", body)
		r.Header.Set("Content-Type", "text/plain")
		return r
	}
	first := s.send(text("pay 10"))
	first.requireCreated(t)
	s.send(text("pay 10")).requireReplayOf(t, first)
	for _, other := range []string{"pay  10", "pay 10\n", "Pay 10", ""} {
		s.send(text(other)).requireProblem(t, http.StatusUnprocessableEntity, "mismatch")
	}
	require.Equal(t, 32, ask[int](t, "SELECT octet_length(fingerprint) FROM "+s.table()))
}

func fingerprintOfFields(t *testing.T) {
	s := served(t, idemhttp.Config{})
	first := s.send(s.post("json", `{"sku": "lamp", "price": {"amount": 10, "currency": "EUR"}}`))
	first.requireCreated(t)
	s.send(s.post("json", `{"price":{"currency":"EUR","amount":10.0},"sku":"lamp"}`)).requireReplayOf(t, first)
	for _, other := range []string{
		`{"sku": "lamp", "price": {"amount": 11, "currency": "EUR"}}`,
		`{"sku": "lamp", "price": {"amount": "10", "currency": "EUR"}}`,
		`{"sku": "lamp"}`,
	} {
		s.send(s.post("json", other)).requireProblem(t, http.StatusUnprocessableEntity, "mismatch")
	}
}

func fingerprintOfSome(t *testing.T) {
	s := fingerprinting(t, func(_ *http.Request, request *idemtx.Request) { request.Exclude = []string{"sent_at"} })
	first := s.send(s.post("some", `{"sku": "lamp", "sent_at": 1}`))
	first.requireCreated(t)
	s.send(s.post("some", `{"sku": "lamp", "sent_at": 2}`)).requireReplayOf(t, first)
	s.send(s.post("some", `{"sku": "desk", "sent_at": 1}`)).requireProblem(t, http.StatusUnprocessableEntity, "mismatch")
	require.Equal(t, 1, s.effects("some"))
}

func fingerprintOfDigest(t *testing.T) {
	s := fingerprinting(t, func(r *http.Request, request *idemtx.Request) {
		request.Payload = idemtx.Raw(r.Header.Get("Content-Digest"))
	})
	signed := func(digest string) *http.Request {
		r := s.post("signed", `{}`)
		r.Header.Set("Content-Digest", digest)
		return r
	}
	first := s.send(signed("sha-256=:b25l:"))
	first.requireCreated(t)
	s.send(signed("sha-256=:b25l:")).requireReplayOf(t, first)
	s.send(signed("sha-256=:dHdv:")).requireProblem(t, http.StatusUnprocessableEntity, "mismatch")
	require.Equal(t, 1, s.effects("signed"))
}

// fingerprinting serves a handler that decides what of a request is compared.
func fingerprinting(t *testing.T, change func(*http.Request, *idemtx.Request)) *service {
	t.Helper()
	f := newFixture(t)
	owner := func(*http.Request) (scope.Scope, error) { return f.scope, nil }
	p := idemhttp.New(f.store, idemhttp.Config{Scope: owner, ProblemBase: "/problems/"})
	return f.host(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		request, err := p.Check(r)
		if err != nil {
			p.Refuse(r, request, err).Send(w)
			return
		}
		change(r, &request)
		reply, err := idemtx.Do(r.Context(), f.store, request, func(ctx context.Context, tx pgx.Tx) (idemhttp.Response, error) {
			_, err := f.effect(ctx, tx, request.Key)
			return idemhttp.Response{Status: http.StatusCreated, Body: []byte("done")}, err
		})
		if err != nil {
			p.Refuse(r, request, err).Send(w)
			return
		}
		p.Answer(reply).Send(w)
	}))
}
