package idemotel_test

import (
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// dashboard is what matters of docs/grafana.json.
type dashboard struct {
	Panels []struct {
		ID          int                      `json:"id"`
		Type        string                   `json:"type"`
		Title       string                   `json:"title"`
		Description string                   `json:"description"`
		Datasource  json.RawMessage          `json:"datasource"`
		GridPos     struct{ H, W, X, Y int } `json:"gridPos"`
		Targets     []struct {
			Expr string `json:"expr"`
		} `json:"targets"`
	} `json:"panels"`
	Templating struct {
		List []struct {
			Name       string          `json:"name"`
			Type       string          `json:"type"`
			Definition string          `json:"definition"`
			Query      json.RawMessage `json:"query"`
		} `json:"list"`
	} `json:"templating"`
}

func readDashboard(t *testing.T) (d dashboard) {
	t.Helper()
	text, err := os.ReadFile("../docs/grafana.json")
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(text, &d))
	return d
}

// expressions are all that the dashboard asks Prometheus.
func (d dashboard) expressions() (all []string) {
	for _, p := range d.Panels {
		for _, target := range p.Targets {
			all = append(all, target.Expr)
		}
	}
	for _, v := range d.Templating.List {
		if asked, ok := strings.CutPrefix(v.Definition, "label_values("); ok {
			metric, _, _ := strings.Cut(asked, ", ")
			if braced := strings.LastIndex(asked, "}"); braced >= 0 {
				metric = asked[:braced+1]
			}
			all = append(all, metric)
		}
	}
	return all
}

var (
	grouping    = regexp.MustCompile(`\b(?:by|without) \(([^)]*)\)`)
	windows     = regexp.MustCompile(`\[[^\]]*\]`)
	selectors   = regexp.MustCompile(`([a-zA-Z_:][a-zA-Z0-9_:]*)(\{[^}]*\})?`)
	functions   = regexp.MustCompile(`^(sum|rate|increase|histogram_quantile)$`)
	matchers    = regexp.MustCompile(`([a-zA-Z_]\w*)(=~|!~|!=|=)"([^"]*)"`)
	ofTheScrape = []string{"job", "instance"}
)

// selector is a metric in an expression, with what it is narrowed by.
type selector struct {
	name     string
	matchers [][]string // whole, label, operator, value
	grouped  []string   // the labels that the expression is grouped by
}

// selectorsOf finds all metrics of an expression. Whatever is neither a function, a
// number nor a grouping is one: a misspelt name is, too.
func selectorsOf(expression string) (found []selector) {
	var grouped []string
	for _, g := range grouping.FindAllStringSubmatch(expression, -1) {
		for _, label := range strings.Split(g[1], ",") {
			grouped = append(grouped, strings.TrimSpace(label))
		}
	}
	rest := windows.ReplaceAllString(grouping.ReplaceAllString(expression, ""), "")
	for _, s := range selectors.FindAllStringSubmatch(rest, -1) {
		if !functions.MatchString(s[1]) {
			found = append(found, selector{s[1], matchers.FindAllStringSubmatch(s[2], -1), grouped})
		}
	}
	return found
}

func TestTheDashboardAsksForWhatIsMeasured(t *testing.T) {
	t.Parallel()
	series := exposed(t)
	shown := make(map[string]bool)
	for _, expression := range readDashboard(t).expressions() {
		found := selectorsOf(expression)
		require.NotEmpty(t, found, expression)
		for _, s := range found {
			labels, ok := series[s.name]
			require.True(t, ok, "there is no metric %s, which is in %s", s.name, expression)
			shown[family(s.name)] = true
			for _, label := range s.grouped {
				require.Contains(t, labels, label, "%s has no such label: %s", s.name, expression)
			}
			for _, m := range s.matchers {
				label, value := m[1], m[3]
				if slices.Contains(ofTheScrape, label) {
					continue
				}
				require.Contains(t, labels, label, "%s has no such label: %s", s.name, expression)
				for _, one := range strings.Split(value, "|") {
					if !strings.HasPrefix(one, "$") {
						require.Contains(t, labels[label], one, "%s never has this %s: %s", s.name, label, expression)
					}
				}
			}
		}
	}
	for name := range series {
		require.True(t, shown[family(name)], "%s is not on the dashboard", name)
	}
}

// family is a metric's name without what tells the parts of a histogram.
func family(name string) string {
	for _, suffix := range []string{"_bucket", "_count", "_sum"} {
		name = strings.TrimSuffix(name, suffix)
	}
	return name
}

// Imported, a dashboard asks whichever Prometheus its reader chooses.
func TestTheDashboardIsWhole(t *testing.T) {
	t.Parallel()
	d := readDashboard(t)
	require.Equal(t, "datasource", d.Templating.List[0].Type)
	require.JSONEq(t, `"prometheus"`, string(d.Templating.List[0].Query))
	ids := make(map[int]bool)
	var taken [1000][24]bool // of the grid
	for _, p := range d.Panels {
		require.False(t, ids[p.ID], "two panels have the id %d", p.ID)
		ids[p.ID] = true
		for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
			for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
				require.False(t, taken[y][x], "%s lies over another panel", p.Title)
				taken[y][x] = true
			}
		}
		if p.Type == "row" {
			continue
		}
		require.NotEmpty(t, p.Targets, p.Title)
		require.NotEmpty(t, p.Description, p.Title)
		require.JSONEq(t, `{"type": "prometheus", "uid": "${datasource}"}`, string(p.Datasource), p.Title)
	}
}

// What a test relies on has a test.
func TestSelectorsAreFound(t *testing.T) {
	t.Parallel()
	require.Equal(t, []selector{
		{"a_total", [][]string{{`x=~"b|c"`, "x", "=~", "b|c"}, {`y!="d"`, "y", "!=", "d"}}, []string{"le", "z"}},
		{"e_bucket", nil, []string{"le", "z"}},
	}, selectorsOf(`histogram_quantile(0.5, sum by (le, z) (rate(a_total{x=~"b|c", y!="d"}[$__rate_interval]))) / sum(e_bucket)`))
}
