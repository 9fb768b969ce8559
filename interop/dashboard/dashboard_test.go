// Package dashboard tests that docs/grafana.json is a dashboard to Grafana: by its own
// schema, in which no member is unknown and none that it wants is missing.
package dashboard

import (
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/cog/plugins"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/stretchr/testify/require"
)

// registered has the schemas of panels and queries.
var registered = sync.OnceFunc(plugins.RegisterDefaultPlugins)

// wrongs is what Grafana's schema has against a dashboard.
func wrongs(t *testing.T, text string) cog.BuildErrors {
	t.Helper()
	registered()
	var d dashboard.Dashboard //nolint:staticcheck // the schema of a file that is imported
	var errs cog.BuildErrors
	require.ErrorAs(t, d.UnmarshalJSONStrict([]byte(text)), &errs) // also where there are none
	require.NoError(t, d.Validate())                               // the values
	return errs
}

func read(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../../docs/grafana.json")
	require.NoError(t, err)
	return string(text)
}

func TestTheDashboardIsOneToGrafana(t *testing.T) {
	t.Parallel()
	require.Empty(t, wrongs(t, read(t)))
}

func TestWhatGrafanaDoesNotKnowIsNoticed(t *testing.T) {
	t.Parallel()
	for right, wrong := range map[string]string{
		`"showLegend"`: `"showsLegend"`, // of a panel's options
		`"expr"`:       `"expression"`,  // of a query
		`"gridPos"`:    `"position"`,
		`"panels"`:     `"panes"`,
	} {
		require.Contains(t, read(t), right)
		require.NotEmpty(t, wrongs(t, strings.Replace(read(t), right, wrong, 1)), wrong)
	}
}
