package page

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/accessibility"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemui"
)

// node is what assistive technology is given of an element.
type node struct {
	role, name string
	level      int // of a heading
	within     accessibility.NodeID
	id         accessibility.NodeID
	describes  string
	properties map[accessibility.PropertyName]string
}

// tree is the accessibility tree, without what is ignored.
func (t *tab) tree() (nodes []node) {
	t.tb.Helper()
	result, err := chromedp.Call(t.ctx, accessibility.GetFullAXTree, accessibility.GetFullAXTreeParams{})
	require.NoError(t.tb, err)
	for _, n := range result.Nodes {
		if n.Ignored {
			continue
		}
		found := node{
			role: text(n.Role), name: text(n.Name), describes: text(n.Description), id: n.NodeID, within: n.ParentID,
			properties: map[accessibility.PropertyName]string{},
		}
		for _, p := range n.Properties {
			found.properties[p.Name] = text(p.Value)
			if p.Name == "level" {
				_ = json.Unmarshal(p.Value.Value, &found.level)
			}
		}
		nodes = append(nodes, found)
	}
	return nodes
}

func text(v *accessibility.Value) string {
	if v == nil {
		return ""
	}
	var s string
	if json.Unmarshal(v.Value, &s) != nil {
		s = string(v.Value)
	}
	return s
}

// named are the roles that tell nothing without a name.
var named = map[string]bool{
	"textbox": true, "button": true, "link": true, "image": true, "img": true, "region": true,
	"table": true, "columnheader": true, "rowheader": true, "heading": true, "navigation": true,
	"DisclosureTriangle": true,
}

// access checks what holds for every page.
func (v view) access(p *tab) {
	p.tb.Helper()
	count, deepest, last := map[string]int{}, 0, 0
	for _, n := range p.tree() {
		count[n.role]++
		if named[n.role] {
			assert.NotEmpty(p.tb, n.name, "%s: %s has no name", v.name, n.role)
		}
		if n.role == "heading" {
			assert.LessOrEqual(p.tb, n.level, last+1, "%s: a heading of level %d follows one of %d", v.name, n.level, last)
			last, deepest = n.level, max(deepest, n.level)
			if n.level == 1 {
				count["h1"]++
			}
		}
	}
	for _, landmark := range []string{"banner", "navigation", "main", "contentinfo", "h1"} {
		assert.Equal(p.tb, 1, count[landmark], "%s: %s", v.name, landmark)
	}
	assert.NotContains(p.tb, count, "alert", v.name)
	assert.Zero(p.tb, eval[int](p, `document.querySelectorAll("[aria-live], [role=status], [role=alert]").length`),
		"%s: nothing changes while the page is shown, so that nothing is to be announced", v.name)
	assert.Zero(p.tb, eval[int](p, `document.querySelectorAll("th:not([scope])").length`), "%s: th without a scope", v.name)
	assert.Zero(p.tb, eval[int](p,
		`[...document.querySelectorAll("[id]")].filter(e => document.querySelectorAll("#" + e.id).length > 1).length`),
		"%s: an id is there twice", v.name)
}

// What a screen reader says of the pages that are worked with.
func TestAccessibleNames(t *testing.T) {
	t.Parallel()
	s := busy(t).serve(idemui.Config{})
	p := newTab(t)
	p.open(s.url)
	assertNodes(t, p, "image Calls a minute by outcome, over the last hour. The table below has the numbers.",
		"navigation Pages", "link Overview", "link Search", "region The table", "region Calls of this process",
		"region In flight", "table Live replies by age", "table Claims in the table", "columnheader Lease",
		"button Keys of "+whose(t).LogID(), "heading Overview")
	p.do(chromedp.Evaluate[chromedp.Void](`document.querySelector("details").open = true`))
	assertNodes(t, p, "columnheader replayed", "columnheader in flight")

	p.open(s.url + "search")
	assertNodes(t, p, "textbox Tenant", "textbox Principal", "textbox Key", "textbox LogID",
		"button Look up the key", "button List its keys", "region One key", "region All keys of a scope")

	p.lookUp(s, "ü")
	assert.True(t, strings.HasPrefix(p.title(), "Error: "))
	until(t, "the field that is wrong has the focus", func() bool {
		return eval[string](p, "document.activeElement.id") == "key"
	})
	for _, n := range p.tree() {
		if n.role == "textbox" {
			assert.Equal(t, n.name == "Key", n.properties["invalid"] == "true", n.name)
			assert.Equal(t, n.name == "Key", strings.Contains(n.describes, "Not looked up:"), n.name)
		}
	}
}

func assertNodes(t *testing.T, p *tab, want ...string) {
	t.Helper()
	var found []string
	for _, n := range p.tree() {
		found = append(found, n.role+" "+n.name)
	}
	for _, w := range want {
		assert.Contains(t, found, w)
	}
}

func (t *tab) disableScript() {
	t.tb.Helper()
	_, err := chromedp.Call(t.ctx, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true})
	require.NoError(t.tb, err)
}
