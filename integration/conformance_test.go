package integration

import (
	"flag"
	"fmt"
	"os"
	"path"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "write CONFORMANCE.md and testdata/plans")

// level is how strongly a rule binds, by RFC 2119.
type level string

const (
	must        level = "MUST"
	should      level = "SHOULD"
	recommended level = "RECOMMENDED"
	may         level = "MAY"
	advice      level = "advice"
)

// manner is how a rule is met.
type manner string

const (
	byDefault manner = "by default"
	bySetting manner = "by a setting"
	differs   manner = "differs"
)

// rule is one sentence of a specification, and what shows how it is met.
type rule struct {
	section string
	level   level // empty where a specification has none
	text    string
	met     manner
	how     string
	test    func(t *testing.T)
}

// ruleBook is a specification, or the part of it that binds one side.
type ruleBook struct {
	source string // with which the names of its tests begin
	title  string
	about  string
	rules  []rule
}

var ruleBooks = []ruleBook{
	{
		source: "draft", title: "The draft, for servers", about: "draft-ietf-httpapi-idempotency-key-header-07. " +
			"It has expired on 18 April 2026 and is no RFC. idemhttp as in `idemhttp.Config{Scope: ...}` unless a setting is named.",
		rules: slices.Concat(draftKeyRules, draftReplyRules, draftErrorRules),
	},
	{
		source: "RFC 9651", title: "Structured Fields, for servers", about: "What RFC 9651 asks of those who read an Item that is a String, " +
			"which section 2.1 of the draft makes of the header.",
		rules: fieldRules,
	},
	{
		source: "client", title: "The draft, for clients", about: "As `idemhttp.Transport` meets it.",
		rules: clientRules,
	},
	{
		source: "Stripe", title: "Stripe", about: "What docs.stripe.com says of version 1 of its API, in the pages " +
			"api/idempotent_requests, error-low-level and api/errors. idemhttp as in " +
			"`idemhttp.Config{Policy: idemhttp.Stripe, Optional: true, Methods: []string{\"POST\"}}`.",
		rules: slices.Concat(stripeRules, stripeErrorRules),
	},
}

// TestConformance has one subtest for each rule, named after it.
func TestConformance(t *testing.T) {
	t.Parallel()
	for _, book := range ruleBooks {
		for _, r := range book.rules {
			t.Run(book.name(r), func(t *testing.T) {
				t.Parallel()
				r.test(t)
			})
		}
	}
}

func (b ruleBook) name(r rule) string {
	return strings.Join(strings.Fields(fmt.Sprint(b.source, " ", r.section, " ", r.level, " ", r.text)), " ")
}

// TestConformanceTable keeps CONFORMANCE.md and the rules from telling two
// stories.
func TestConformanceTable(t *testing.T) {
	t.Parallel()
	const file = "../CONFORMANCE.md"
	want := conformance(t)
	if *update {
		require.NoError(t, os.WriteFile(file, []byte(want), 0o644))
	}
	got, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, want, string(got), "write it with: go test ./integration -run TestConformanceTable -update")
}

// conformance is what CONFORMANCE.md holds.
func conformance(t *testing.T) string {
	t.Helper()
	count := map[manner]int{}
	named := map[string]bool{}
	var tables strings.Builder
	for _, book := range ruleBooks {
		fmt.Fprintf(&tables, "\n## %s\n\n%s Tests: `TestConformance/%s`.\n\n%s",
			book.title, book.about, strings.ReplaceAll(book.source, " ", "_"), book.head())
		for _, r := range book.rules {
			name := book.name(r)
			require.False(t, named[name], "two rules are named %q", name)
			require.NotContains(t, name, "/", "it would be two names")
			named[name] = true
			count[r.met]++
			tables.WriteString(r.row())
		}
	}
	return fmt.Sprintf(conformanceHead, len(named), count[byDefault], count[bySetting], count[differs]) + tables.String()
}

const conformanceHead = `# Conformance

What the specifications of Idempotency-Key say, and what idemhttp does. Each rule is a test: an exchange over HTTP with
PostgreSQL behind it, and named after its row.

` + "```sh\ngo test ./integration -run TestConformance\n" +
	"go test ./integration -run 'TestConformance/draft_2.7_SHOULD_a_missing_key'\n```" + `

Of %d rules idemhttp follows %d by default and %d once it is set so. From %d it **differs** on purpose, in full or in
part; the row says how, and its test shows both. Advice is what a specification recommends in none of the words of
RFC 2119.

<!-- Written by: go test ./integration -run TestConformanceTable -update -->
`

func (b ruleBook) head() string {
	if b.rules[0].level == "" {
		return "| page | rule | idemhttp | test |\n|---|---|---|---|\n"
	}
	return "| section | level | rule | idemhttp | test |\n|---|---|---|---|---|\n"
}

// row ends with the function that is the test.
func (r rule) row() string {
	cells := []string{r.section}
	if r.level != "" {
		cells = append(cells, string(r.level))
	}
	met := string(r.met)
	if r.met == differs {
		met = "**" + met + "**"
	}
	test := runtime.FuncForPC(reflect.ValueOf(r.test).Pointer())
	file, _ := test.FileLine(test.Entry())
	cells = append(cells, r.text, met+": "+r.how, fmt.Sprintf("[%s](integration/%s)",
		strings.TrimPrefix(path.Ext(test.Name()), "."), path.Base(file)))
	return "| " + strings.Join(cells, " | ") + " |\n"
}
