package page

import (
	_ "embed"
	"fmt"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemtx"
	"github.com/idemtx/idemtx/idemui"
)

// busy is a store in which there is something of everything.
func busy(tb testing.TB) *fixture {
	tb.Helper()
	f := newFixture(tb)
	for i := range 14 {
		for range 1 + i%4 {
			f.do(fmt.Sprintf("8e03978e-40d5-43dd-bc93-%d", i), nil)
		}
	}
	f.do(key, nil)
	f.do("declined-card", idemtx.ErrRefused)
	until(tb, "the last replay is rolled back", func() bool { return f.pool.Stat().AcquiredConns() == 0 })
	f.hold("held-by-a-transaction", idemtx.ModeDo)
	f.hold("claimed-in-the-table", idemtx.ModeDoPool)
	return f
}

// view is a page, and how a reader comes to it.
type view struct {
	name   string
	narrow bool // there is a picture of it on a small screen, too
	open   func(*tab)
}

// views are all the pages there are, and what they look like when something is wrong.
func views(t *testing.T) []view {
	t.Helper()
	f := busy(t)
	plain := f.serve(idemui.Config{})
	open := f.serve(idemui.Config{ShowReplies: true, ShowScopes: true})
	slow := slowed(t)
	untraced := slow.store.Config()
	untraced.Tracer = nil
	stuck := slow.with(untraced).serve(idemui.Config{Timeout: 300 * time.Millisecond})
	at := func(s *site, page string) func(*tab) { return func(p *tab) { p.open(s.url + page) } }
	find := func(s *site, key string) func(*tab) { return func(p *tab) { p.lookUp(s, key) } }
	return []view{
		{"overview", true, at(plain, "")},
		{"overview-open", false, at(open, "")},
		{"overview-slow", false, at(stuck, "")},
		{"search", true, at(plain, "search")},
		{"search-refused", false, find(plain, "ü")},
		{"key-answered", true, find(open, key)},
		{"key-absent", false, find(plain, "unknown")},
		{"key-held", false, find(plain, "held-by-a-transaction")},
		{"key-claimed", false, find(plain, "claimed-in-the-table")},
		{"key-refused", false, find(plain, "declined-card")},
		{"key-slow", false, find(stuck, key)},
		{"scope", true, func(p *tab) { p.listKeys(plain) }},
		{"nothing", false, at(plain, "nothing")},
	}
}

// lookUp fills the form in, and sends it.
func (t *tab) lookUp(s *site, key string) {
	t.tb.Helper()
	t.open(s.url + "search")
	t.do(
		chromedp.SetValue(chromedp.ID("tenant"), tenant),
		chromedp.SetValue(chromedp.ID("principal"), principal),
		chromedp.SetValue(chromedp.ID("key"), key),
	)
	t.submit("key")
}

// listKeys asks for the keys of the scope that all tests have.
func (t *tab) listKeys(s *site) {
	t.tb.Helper()
	t.open(s.url + "search")
	t.do(chromedp.SetValue(chromedp.ID("scope"), whose(t.tb).LogID()))
	t.submit("scope")
}

// submit presses Enter in a field and waits for the page that comes.
func (t *tab) submit(field string) {
	t.tb.Helper()
	t.do(chromedp.Focus(chromedp.ID(field)))
	t.pressForPage("\r")
}

//go:embed testdata/contrast.js
var contrastJS string

//go:embed testdata/overflow.js
var overflowJS string

// TestLooks looks at every page in both colour schemes, wide and narrow.
func TestLooks(t *testing.T) {
	t.Parallel()
	_ = tool(t, "chromium", "chromium")
	all := views(t)
	for _, scheme := range []string{"light", "dark"} {
		t.Run(scheme, func(t *testing.T) {
			t.Parallel()
			p := newTab(t)
			p.prefer(scheme)
			for _, v := range all {
				v.open(p)
				v.look(p, scheme)
				v.access(p)
			}
			assert.Empty(t, p.heard())
		})
	}
}

func (v view) look(p *tab, scheme string) {
	p.tb.Helper()
	name := v.name + "-" + scheme
	p.picture(name)
	p.do(chromedp.Evaluate[chromedp.Void](`document.querySelectorAll("details").forEach(d => d.open = true)`))
	found := eval[contrast](p, contrastJS)
	assert.Empty(p.tb, found.Low, "%s: contrast", name)
	assert.NotZero(p.tb, found.Checked, name)
	assert.Equal(p.tb, scheme == "dark", found.Dark, "%s: the ground is not of the scheme", name)

	p.do(chromedp.EmulateViewport(320, 640))
	assert.Empty(p.tb, eval[[]string](p, overflowJS), "%s: scrolls sideways", name)
	if v.narrow {
		p.picture(name + "-narrow")
	}
	p.do(chromedp.EmulateViewport(1280, 900))
}

// contrast is what testdata/contrast.js has found.
type contrast struct {
	Low     []string `json:"low"` // what is hard to read, and how hard
	Checked int      `json:"checked"`
	Dark    bool     `json:"dark"`
}

// The checks see what they are there for.
func TestLooksAreChecked(t *testing.T) {
	t.Parallel()
	p := newTab(t)
	p.open(newFixture(t).serve(idemui.Config{}).url)
	p.do(chromedp.Evaluate[chromedp.Void](`{
		const p = document.createElement("p");
		p.textContent = "hardly there";
		document.querySelector("section").append(p);
		p.style.color = "#999";
		p.style.width = "3000px";
		const image = new Image();
		image.src = "https://elsewhere.example/image.png";
		document.body.append(image);
	}`))
	low := eval[contrast](p, contrastJS).Low
	require.Len(t, low, 1)
	assert.Contains(t, low[0], "hardly there")
	assert.NotEmpty(t, eval[[]string](p, overflowJS))
	until(t, "what the policy forbids is heard of", func() bool { return len(p.heard()) > 0 })
	assert.Contains(t, p.heard()[0], "Content Security Policy")
}

// Without JavaScript the pages are the same: they have none.
func TestWithoutJavaScript(t *testing.T) {
	t.Parallel()
	s := busy(t).serve(idemui.Config{})
	with, without := newTab(t), newTab(t)
	without.disableScript()
	for _, p := range []*tab{with, without} {
		p.open(s.url + "search")
		p.byKeyboard()
		assert.Equal(t, "One key · idemtx", p.title())
	}
	assert.Equal(t, with.names(), without.names())
	assert.Empty(t, without.heard())
}

// names are of everything in the accessibility tree that has one, but for what changes
// with time.
func (t *tab) names() (names []string) {
	t.tb.Helper()
	for _, n := range t.tree() {
		if n.role == "heading" || n.role == "term" || n.role == "link" || n.role == "columnheader" {
			names = append(names, n.role+" "+n.name)
		}
	}
	return names
}
