package report

import (
	"bytes"
	"fmt"
	"image/color"
	"os"
	"slices"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"

	"github.com/idemtx/idemtx/benchmarks/cases"
	"github.com/idemtx/idemtx/benchmarks/floors"
	"github.com/idemtx/idemtx/benchmarks/measure"
)

const (
	pictureWidth = 9 * vg.Inch
	barWidth     = 9 // points
	longestBar   = 2.5
)

var (
	near    = color.RGBA{R: 0x1f, G: 0x77, B: 0xb4, A: 0xff}
	distant = color.RGBA{R: 0xff, G: 0x9f, B: 0x40, A: 0xff}
	grey    = color.Gray{Y: 0x80}
)

// bars are the medians of a case's ratios.
type bars struct {
	legend string
	color  color.Color
	series *measure.Series
}

// Draw makes an SVG of how contenders compare with the floors, or tells that none
// of the cases that it shows was run.
func Draw(results []cases.Result, file string) (drawn bool, err error) {
	j := judge{results: results}
	panels := []struct {
		title string
		bars  []bars
	}{
		{"First requests per second, relative to the " + floors.PlainTransaction, []bars{
			{"loopback", near, j.series(firstLoopback.Name())}, {"1 ms", distant, j.series(firstFar.Name())},
		}},
		{"Replays per second, relative to the " + floors.BareSelect, []bars{
			{"loopback", near, j.series(replayLoopback.Name())}, {"1 ms", distant, j.series(far(replayLoopback).Name())},
		}},
	}
	var plots [][]*plot.Plot
	rows := 0
	for _, panel := range panels {
		p, n, err := draws(panel.title, panel.bars)
		if err != nil {
			return false, err
		}
		if n > 0 {
			plots = append(plots, []*plot.Plot{p})
			rows = max(rows, n)
		}
	}
	if plots == nil {
		return false, nil
	}
	height := vg.Points(float64(rows)*barWidth*3+80) * vg.Length(len(plots))
	return true, save(plots, height, file)
}

// draws is one panel, and how many contenders it has.
func draws(title string, all []bars) (*plot.Plot, int, error) {
	all = slices.DeleteFunc(all, func(b bars) bool { return b.series == nil })
	if len(all) == 0 {
		return nil, 0, nil
	}
	p := plot.New()
	p.Title.Text = title
	p.X.Min, p.X.Max = 0, longestBar+0.3
	p.X.Tick.Marker = plot.ConstantTicks(ticks())
	p.Legend.Top, p.Legend.Padding = true, vg.Points(4)
	for _, style := range []*text.Style{&p.Title.TextStyle, &p.X.Tick.Label, &p.Y.Tick.Label, &p.Legend.TextStyle} {
		style.Font.Variant = "Sans"
	}
	var names []string
	for _, e := range ranked(*all[0].series) {
		names = append(names, e.Name)
	}
	slices.Reverse(names) // the first is drawn at the bottom
	for i, b := range all {
		offset := vg.Points(barWidth * (float64(len(all)-1)/2 - float64(i)))
		if err := b.add(p, names, offset); err != nil {
			return nil, 0, err
		}
	}
	p.NominalY(names...)
	floor, err := plotter.NewLine(plotter.XYs{{X: 1, Y: -0.5}, {X: 1, Y: float64(len(names)) - 0.5}})
	if err != nil {
		return nil, 0, err
	}
	floor.Color, floor.Dashes = grey, []vg.Length{vg.Points(3), vg.Points(3)}
	p.Add(floor)
	return p, len(names), nil
}

func (b bars) add(p *plot.Plot, names []string, offset vg.Length) error {
	values := make(plotter.Values, len(names))
	labels := plotter.XYLabels{XYs: make(plotter.XYs, len(names)), Labels: make([]string, len(names))}
	for i, name := range names {
		ratios := b.series.Ratios(name, floorOf(b.series, name), measure.Slice.Throughput)
		if ratios == nil {
			continue
		}
		median := measure.SpreadOf(ratios).Median
		values[i] = min(median, longestBar)
		labels.XYs[i] = plotter.XY{X: values[i], Y: float64(i)}
		labels.Labels[i] = fmt.Sprintf(" %.2f", median)
	}
	chart, err := plotter.NewBarChart(values, vg.Points(barWidth))
	if err != nil {
		return err
	}
	chart.Horizontal, chart.Color, chart.Offset, chart.LineStyle.Width = true, b.color, offset, 0
	texts, err := plotter.NewLabels(labels)
	if err != nil {
		return err
	}
	texts.Offset = vg.Point{Y: offset - vg.Points(barWidth/3)}
	for i := range texts.TextStyle {
		texts.TextStyle[i].Font.Size, texts.TextStyle[i].Font.Variant = vg.Points(barWidth), "Sans"
	}
	p.Add(chart, texts)
	p.Legend.Add(b.legend, chart)
	return nil
}

func ticks() (all []plot.Tick) {
	for x := 0.0; x <= longestBar; x += 0.5 {
		all = append(all, plot.Tick{Value: x, Label: fmt.Sprint(x)})
	}
	return all
}

func floorOf(s *measure.Series, name string) string {
	i := slices.IndexFunc(s.Entrants, func(e measure.Entrant) bool { return e.Name == name })
	if i < 0 {
		return ""
	}
	return s.Entrants[i].Base
}

func save(plots [][]*plot.Plot, height vg.Length, file string) error {
	picture := vgsvg.New(pictureWidth, height)
	tiles := draw.Tiles{Rows: len(plots), Cols: 1, PadY: vg.Points(16), PadLeft: vg.Points(8), PadRight: vg.Points(8), PadTop: vg.Points(8)}
	for row, canvases := range plot.Align(plots, tiles, draw.New(picture)) {
		plots[row][0].Draw(canvases[0])
	}
	var svg bytes.Buffer
	if _, err := picture.WriteTo(&svg); err != nil {
		return err
	}
	// Those who lack this font have one of the same measures.
	const font = "font-family:Liberation Sans"
	text := bytes.ReplaceAll(svg.Bytes(), []byte(font), []byte(font+",Arial,Helvetica,sans-serif"))
	return os.WriteFile(file, text, 0o644)
}
