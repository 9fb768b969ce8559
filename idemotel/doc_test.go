package idemotel_test

import (
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The package's comment is where the names are looked up.
func TestTheDocumentationNamesWhatThereIs(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("doc.go")
	require.NoError(t, err)
	words := strings.Fields(strings.ReplaceAll(string(text), "//", ""))
	doc := strings.Join(words, " ")
	w := newWatched(t, operationOnMetrics)
	w.everything()
	for name, m := range w.metrics() {
		require.Contains(t, doc, name+" "+m.Unit+" ")
		require.NotEmpty(t, m.Description)
		for _, p := range pointsOf(m) {
			for label, value := range p.Labels {
				require.Contains(t, doc, label)
				if label == "idemtx.outcome" || label == "idemtx.settled" || strings.HasPrefix(label, "idemtx.sweep.") {
					require.Contains(t, doc, value)
				}
			}
		}
	}
	for _, s := range w.spans.GetSpans() {
		for key := range values(s.Attributes) {
			require.Contains(t, doc, key)
		}
	}
	for _, word := range words {
		if strings.HasPrefix(word, "idemtx.") && strings.Count(word, "_")+strings.Count(word, ".") > 1 {
			require.Contains(t, w.said(), strings.TrimRight(word, ".,:"), "the documentation names what there is not")
		}
	}
}
