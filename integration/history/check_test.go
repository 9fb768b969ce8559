package history

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/anishathalye/porcupine"
	"github.com/stretchr/testify/require"
)

// check returns the keys of the round whose histories are not those of the model.
// A history that cannot be checked in time is a failure too.
func (r *round) check() (violated []int) {
	r.t.Helper()
	for key, name := range r.keys {
		result := check(r.of(name))
		require.NotEqual(r.t, porcupine.Unknown, result, "the history of %s is not checked within %v", name, patience)
		if result == porcupine.Illegal {
			violated = append(violated, key)
		}
	}
	return violated
}

func check(history []porcupine.Operation) porcupine.CheckResult {
	return porcupine.CheckOperationsTimeout(model, history, patience)
}

// show tells what a violation looks like: as a list, and as a picture in a file
// that outlives the test.
func (r *round) show(key int) string {
	r.t.Helper()
	history := r.of(r.keys[key])
	var text strings.Builder
	for _, o := range history {
		fmt.Fprintf(&text, "%6d to %6d  client %3d  %s\n", o.Call, o.Return, o.ClientId,
			describe(o.Input.(input), o.Output.(output)))
	}
	_, info := porcupine.CheckOperationsVerbose(model, history, patience)
	path := filepath.Join(os.TempDir(), fmt.Sprintf("idemtx-history-seed-%d-key-%d.html", r.seed, key))
	require.NoError(r.t, porcupine.VisualizePath(model, info, path))
	return text.String() + "a picture of it is in " + path
}
