package page

import (
	"fmt"
	"html"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/idemtx/idemtx/idemui"
)

// seen is all that a reader, his browser, or a proxy between them gets.
func seen(r reply) string { return html.UnescapeString(fmt.Sprint(r.header, r.body)) }

var (
	scopes = []string{tenant, principal}
	keys   = []string{key, key[9:], "Wolverhampton"} // no more of it than its beginning
)

func assertHidden(t *testing.T, where, text string, secrets ...string) {
	t.Helper()
	for _, secret := range secrets {
		assert.NotContains(t, text, secret, where)
	}
}

func TestNothingIsToldByDefault(t *testing.T) {
	t.Parallel()
	f := busy(t)
	s := f.serve(idemui.Config{})
	for name, r := range everything(t, s) {
		assertHidden(t, name, seen(r), scopes...)
		assertHidden(t, name, seen(r), keys...)
		assertHidden(t, name, seen(r), replied)
	}
	overview := seen(s.get(""))
	assert.Contains(t, overview, "<dt>In flight</dt><dd>2<span>1 of them claimed")
	for _, inFlight := range []string{"held-by-", "claimed-"} {
		assert.Contains(t, overview, inFlight)
		assertHidden(t, "the overview", overview, inFlight+"a-transaction", inFlight+"in-the-table")
	}
	found := seen(s.lookUp(key))
	assert.Contains(t, found, whose(t).LogID())
	assert.Contains(t, found, key[:8]+"…")
	assert.Contains(t, seen(s.lookUp("12345678")), "****", "a short key is not shown at all")
	assertHidden(t, "the log", f.log.String(), append(append(scopes, keys...), replied)...)
}

// What goes wrong does not tell either: the page, its headers, nor the log.
func TestNothingIsToldOfAnError(t *testing.T) {
	t.Parallel()
	for name, breaks := range map[string]func(*fixture){
		"table dropped":  func(f *fixture) { f.exec("DROP TABLE " + f.table()) },
		"column dropped": func(f *fixture) { f.exec("ALTER TABLE " + f.table() + " DROP COLUMN sealed") },
		"pool closed":    func(f *fixture) { f.pool.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			f.do(key, nil)
			breaks(f)
			s := f.serve(idemui.Config{ShowReplies: true})
			for name, r := range everything(t, s) {
				assertHidden(t, name, seen(r), append(keys, scopes...)...)
			}
			assertHidden(t, "the log", f.log.String(), append(append(scopes, keys...), replied)...)
			assert.Equal(t, 503, s.lookUp(key).status)
			assert.Equal(t, 200, s.get("").status, "what is known without the table is shown")
		})
	}
}

func TestWhatIsShownWasAskedFor(t *testing.T) {
	t.Parallel()
	f := busy(t)
	t.Run("Replies", func(t *testing.T) {
		t.Parallel()
		s := f.serve(idemui.Config{ShowReplies: true})
		assert.Contains(t, seen(s.lookUp(key)), replied)
		for name, r := range everything(t, s) {
			assertHidden(t, name, seen(r), append(keys, scopes...)...)
		}
	})
	t.Run("Scopes", func(t *testing.T) {
		t.Parallel()
		s := f.serve(idemui.Config{ShowScopes: true})
		assert.Contains(t, seen(s.lookUp(key)), tenant+" / "+principal)
		assert.Contains(t, seen(s.get("")), tenant+" / "+principal, "of the calls in flight")
		for name, r := range everything(t, s) {
			assertHidden(t, name, seen(r), append(keys, replied)...)
		}
	})
}

// A name that is markup stays text.
func TestWhatIsShownIsEscaped(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	s := f.serve(idemui.Config{ShowScopes: true, ShowReplies: true})
	form := keyForm(`"><script>alert(1)</script>`)
	form.Set("principal", `<b onload=x>"`)
	form.Set("more", "</textarea><img>\r\n\r\nlast")
	found := s.post("key", form)
	assert.Equal(t, 200, found.status)
	form.Set("key", "ü")
	for _, r := range []reply{found, s.post("key", form)} {
		assert.NotContains(t, r.body, "<script")
		assert.NotContains(t, r.body, "<b on")
		assert.NotContains(t, r.body, "<img")
		assert.Contains(t, html.UnescapeString(r.body), `<b onload=x>"`)
	}
	assert.Contains(t, html.UnescapeString(found.body), " / </textarea><img> / last", "an empty line is no part")
}
