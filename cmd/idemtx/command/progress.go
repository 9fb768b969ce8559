package command

import (
	"fmt"
	"io"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
)

// progress shows how far a sweep has come.
type progress interface {
	add(rows int64)
	end(all bool) // whether nothing was left out
}

// newProgress is a bar where standard error is a terminal, and lines elsewhere.
func (p *Program) newProgress(total int64) progress {
	switch {
	case total == 0:
		return silence{}
	case p.TerminalErr:
		return newBar(p.Err, total)
	}
	return &lines{out: p.Err, total: total, began: time.Now()}
}

type silence struct{}

func (silence) add(int64) {}
func (silence) end(bool)  {}

// barOf is a bar with what is done, how fast, and when it will be over.
type barOf struct {
	progress *mpb.Progress
	bar      *mpb.Bar
	total    int64
}

func newBar(out io.Writer, total int64) *barOf {
	progress := mpb.New(mpb.WithOutput(out), mpb.WithAutoRefresh(), mpb.WithWidth(longestBar))
	// With a total from the start the bar would be over when it is reached, and rows
	// expire meanwhile.
	bar := progress.New(0, mpb.BarStyle(),
		mpb.PrependDecorators(decor.CountersNoUnit("%d of %d rows", decor.WCSyncSpace)),
		mpb.AppendDecorators(
			decor.AverageSpeed(0, "%.0f rows/s", decor.WCSyncSpace),
			decor.OnComplete(decor.AverageETA(decor.ET_STYLE_GO, decor.WCSyncSpace), " done"),
		),
	)
	bar.SetTotal(total, false)
	return &barOf{progress, bar, total}
}

func (b *barOf) add(rows int64) {
	b.bar.IncrInt64(rows)
	if now := b.bar.Current(); now > b.total {
		b.total = now
		b.bar.SetTotal(b.total, false)
	}
}

// end leaves the bar as it is, or shows what is done as the whole of it.
func (b *barOf) end(all bool) {
	if all {
		b.bar.SetTotal(b.bar.Current(), true)
	} else {
		b.bar.Abort(false)
	}
	b.progress.Wait()
}

// often is how long a line stands before the next one.
const often = 10 * time.Second

// lines are for logs: the first batch, and then one every so often.
type lines struct {
	out         io.Writer
	done, total int64
	began, last time.Time
}

func (l *lines) add(rows int64) {
	now := time.Now()
	l.done += rows
	if now.Sub(l.last) < often {
		return
	}
	l.last = now
	text := fmt.Sprintf("%d of %d rows", l.done, max(l.done, l.total))
	if spent := now.Sub(l.began); spent > 0 && l.done > 0 {
		left := time.Duration(float64(spent) * float64(max(0, l.total-l.done)) / float64(l.done))
		text += fmt.Sprintf(", %.0f rows/s, about %v left", float64(l.done)/spent.Seconds(), left.Round(time.Second))
	}
	fmt.Fprintln(l.out, text)
}

func (l *lines) end(bool) {}
