package report_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/benchmarks/cases"
	"github.com/idemtx/idemtx/benchmarks/contender"
	"github.com/idemtx/idemtx/benchmarks/floors"
	"github.com/idemtx/idemtx/benchmarks/measure"
	"github.com/idemtx/idemtx/benchmarks/ours"
	"github.com/idemtx/idemtx/benchmarks/report"
)

func slice(done, failed int) measure.Slice {
	s := measure.Slice{Done: done, Failed: failed, Elapsed: time.Second, Latency: hdrhistogram.New(1, time.Minute.Nanoseconds(), 2)}
	if failed > 0 {
		s.Failure = errors.New("refused\nby | somebody")
	}
	return s
}

// first is a run of the usual case in which these were so fast in each round.
func first(fast map[string]int, failed int) cases.Result {
	series := &measure.Series{Slices: make(map[string][]measure.Slice)}
	for _, e := range []measure.Entrant{
		{Name: ours.Do, Kind: string(contender.Ours)},
		{Name: floors.PlainTransaction, Kind: string(contender.Floor)},
		{Name: "peer", Kind: string(contender.Peer)},
	} {
		e.Base = floors.PlainTransaction
		series.Entrants = append(series.Entrants, e)
		for range 3 {
			series.Slices[e.Name] = append(series.Slices[e.Name], slice(fast[e.Name], failed))
		}
	}
	return cases.Result{Case: cases.Usual(contender.First).Name(), Series: series}
}

func verdicts(results ...cases.Result) map[string]string {
	all := make(map[string]string)
	for _, target := range report.Targets(results) {
		all[target.What] = target.Verdict
	}
	return all
}

const (
	toPlain = "first request, loopback, 8 clients: Do to the plain transaction"
	toPeer  = "first request, loopback: Do to peer"
	far     = "first request, 1 ms: Do to the plain transaction"
)

func TestATargetIsMetOnItsBound(t *testing.T) {
	t.Parallel()
	got := verdicts(first(map[string]int{ours.Do: 850, floors.PlainTransaction: 1000, "peer": 566}, 0))
	require.Equal(t, report.Met, got[toPlain])
	require.Equal(t, report.Met, got[toPeer])
	require.Equal(t, report.NotRun, got[far])
}

func TestATargetIsMissedBelowIt(t *testing.T) {
	t.Parallel()
	got := verdicts(first(map[string]int{ours.Do: 849, floors.PlainTransaction: 1000, "peer": 567}, 0))
	require.Equal(t, report.Missed, got[toPlain])
	require.Equal(t, report.Missed, got[toPeer])
}

func TestCommitsAndRowVersionsAreJudgedByWhatWasCounted(t *testing.T) {
	t.Parallel()
	const what = "one durable commit and one row version per first request"
	counted := func(syncs, versions float64) cases.Result {
		return cases.Result{Counts: []cases.Count{{
			Name: ours.Do, Operation: contender.First, Server: cases.Server{Syncs: syncs, RowVersions: versions},
		}}}
	}
	require.Equal(t, report.Met, verdicts(counted(1.01, 1))[what])
	require.Equal(t, report.Missed, verdicts(counted(2, 1))[what])
	require.Equal(t, report.Missed, verdicts(counted(1, 2))[what])
	require.Equal(t, report.NotRun, verdicts()[what])
}

func TestTheReportNamesWhoFailedAndWhoIsMissing(t *testing.T) {
	t.Parallel()
	result := first(map[string]int{ours.Do: 10, floors.PlainTransaction: 10, "peer": 10}, 2)
	result.Missing = []string{"another: it does not start"}
	var text strings.Builder
	report.Report{Results: []cases.Result{result}}.Markdown(&text)
	require.Contains(t, text.String(), "another: it does not start was not measured")
	require.Contains(t, text.String(), "peer failed 6 times, at last with: refused by | somebody")
}

func TestTheReportSaysWhatStandsInTheWayOfWhatIsMissed(t *testing.T) {
	t.Parallel()
	texts := make(map[string]string)
	for name, do := range map[string]int{"met": 850, "missed": 849} {
		var text strings.Builder
		results := []cases.Result{first(map[string]int{ours.Do: do, floors.PlainTransaction: 1000, "peer": 1}, 0)}
		report.Report{Results: results}.Markdown(&text)
		texts[name] = text.String()
	}
	require.Contains(t, texts["missed"], "**"+toPlain+":** On loopback")
	require.NotContains(t, texts["met"], "**"+toPlain)
}

func TestTheReportTellsWhatAKeyTakes(t *testing.T) {
	t.Parallel()
	var text strings.Builder
	size := cases.KeySize{Reply: 200, Table: 391.6, Toast: 0.4, PrimaryKey: 95, Index: 23, WAL: 625}
	report.Report{Results: []cases.Result{{Sizes: []cases.KeySize{size}}}}.Markdown(&text)
	require.Contains(t, text.String(), "| 200 | 392 | 0.4 | 95 | 23 | 625 |")
}

// A run of one case tells nothing of what it did not measure.
func TestTheReportTellsHowATableGrows(t *testing.T) {
	t.Parallel()
	var text strings.Builder
	size := cases.Size{After: time.Minute, Requests: 1000, Table: 2_000_000, Index: 1_000_000, Live: 900, Dead: 100, Vacuums: 3}
	growths := []cases.Growth{{Name: "the one", Sizes: []cases.Size{size}}, {Name: "the other", Sizes: []cases.Size{size}}}
	report.Report{Results: []cases.Result{{Growths: growths}}}.Markdown(&text)
	require.Equal(t, 2, strings.Count(text.String(), "| 1m0s | 1000 | 2.0 MB | 1.0 MB | 900 | 100 | 3 |"))
	require.Less(t, strings.Index(text.String(), "### the one"), strings.Index(text.String(), "### the other"))
	require.NotContains(t, text.String(), "Targets")
	require.NotContains(t, text.String(), "contender")
}

func TestThePictureHasABarForEachContender(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "picture.svg")
	drawn, err := report.Draw([]cases.Result{first(map[string]int{ours.Do: 900, floors.PlainTransaction: 1000, "peer": 3000}, 0)}, file)
	require.NoError(t, err)
	require.True(t, drawn)
	svg, err := os.ReadFile(file)
	require.NoError(t, err)
	for _, text := range []string{ours.Do, floors.PlainTransaction, "peer", "0.90", "3.00"} {
		require.Contains(t, string(svg), text)
	}
	drawn, err = report.Draw(nil, file)
	require.NoError(t, err)
	require.False(t, drawn)
}

// A count has nothing in its way but the code.
func TestEveryRatioHasAnObstacleToTell(t *testing.T) {
	t.Parallel()
	for _, target := range report.Targets(nil) {
		if target.What != "one durable commit and one row version per first request" {
			require.NotEmpty(t, target.Obstacle, target.What)
		}
	}
}
