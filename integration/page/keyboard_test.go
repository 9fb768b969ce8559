package page

import (
	"strings"
	"testing"

	"github.com/chromedp/chromedp/kb"
	"github.com/stretchr/testify/assert"

	"github.com/idemtx/idemtx/idemui"
)

// byKeyboard fills in the form of the page search, from the top of the page.
func (t *tab) byKeyboard() {
	t.tb.Helper()
	t.press(kb.Tab, kb.Tab, kb.Tab, kb.Tab) // past the link to the content, and the two of the navigation
	t.press(tenant, kb.Tab, principal, kb.Tab, kb.Tab, key)
	t.pressForPage(kb.Enter)
}

// focused is what has the focus, and whether that can be seen.
type focused struct {
	Element string `json:"element"`
	Seen    bool   `json:"seen"`
}

const focusJS = `(() => {
	const e = document.activeElement, style = getComputedStyle(e);
	const box = e.getBoundingClientRect();
	return {
		element: e.id || e.textContent.trim(),
		seen: style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2 && box.right > 0 && box.bottom > 0,
	};
})()`

// A key is looked up, and its story read, without a mouse.
func TestByKeyboardAlone(t *testing.T) {
	t.Parallel()
	s := busy(t).serve(idemui.Config{})
	p := newTab(t)
	p.open(s.url)
	walk := func(want ...string) {
		t.Helper()
		for _, element := range want {
			p.press(kb.Tab)
			assert.Equal(t, focused{element, true}, eval[focused](p, focusJS))
		}
	}
	walk("Skip to the content", "Overview", "Search")
	p.pressForPage(kb.Enter)
	assert.Equal(t, "Search · idemtx", p.title())

	walk("Skip to the content")
	p.press(kb.Enter)
	walk("tenant")
	p.press(tenant)
	walk("principal")
	p.press(principal)
	walk("The scope has more parts", "key")
	p.press(key)
	walk("Look up the key")
	p.pressForPage(kb.Enter)
	assert.Equal(t, "One key · idemtx", p.title())
	assert.True(t, strings.HasSuffix(eval[string](p, "location.href"), "/admin/keys/key"))
	assert.Contains(t, eval[string](p, `document.querySelector(".verdict").textContent`), "Answered")
	assert.Equal(t, "The stored reply, and the handler does not run.",
		eval[string](p, `document.querySelector(".answer p").textContent`))

	walk("Skip to the content", "Overview", "Search", "Search again")
	p.pressForPage(kb.Enter)
	assert.Equal(t, []string{"", "", "", ""}, eval[[]string](p, `[...document.querySelectorAll("input")].map(e => e.value)`),
		"the form does not remember")
	for _, url := range s.asked() {
		assertHidden(t, "the address "+url, url, append(keys, scopes...)...)
	}
	assert.Empty(t, p.heard())
}
