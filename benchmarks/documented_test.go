package main

import (
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/benchmarks/cases"
)

// What is measured is what people are told to set.
func TestTheDocumentedSettingsAreThoseMeasured(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../docs/expiry-and-retention.md")
	require.NoError(t, err)
	for setting := range strings.SplitSeq(cases.Documented, ", ") {
		require.Contains(t, string(page), "\t"+setting)
	}
}
