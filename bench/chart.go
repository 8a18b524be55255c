package main

// Drawing: bars and stacks of panels, in SVG.

import (
	"bytes"
	"fmt"
	"image/color"
	"math"
	"os"
	"slices"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

// Colours that stay apart for colour-blind eyes (Okabe and Ito).
var (
	blue   = color.RGBA{0x00, 0x72, 0xB2, 0xFF}
	orange = color.RGBA{0xE6, 0x9F, 0x00, 0xFF}
	sky    = color.RGBA{0x56, 0xB4, 0xE9, 0xFF}
)

func init() {
	plot.DefaultFont = font.Font{Typeface: "Liberation", Variant: "Sans"}
}

func newPlot(title string) *plot.Plot {
	p := plot.New()
	p.Title.Text = title
	p.Title.TextStyle.Font.Size = vg.Points(11)
	p.Title.Padding = vg.Points(5)
	for _, axis := range []*plot.Axis{&p.X, &p.Y} {
		axis.Label.TextStyle.Font.Size = vg.Points(10)
		axis.Tick.Label.Font.Size = vg.Points(9)
	}
	return p
}

// series is one bar of each group.
type series struct {
	name   string
	color  color.Color
	values []float64
}

// barChart groups bars by category. Each has its value written above it.
func barChart(unit string, categories []string, all []series) *plot.Plot {
	p := newPlot("")
	p.Y.Label.Text = unit
	high := 0.0
	for i, s := range all {
		high = max(high, slices.Max(s.values))
		p.Add(&bars{series: s, index: i, of: len(all)})
	}
	p.Y.Min, p.Y.Max = 0, high*1.15
	p.Y.Tick.Marker = every(niceStep(p.Y.Max, 6))
	p.NominalX(categories...)
	p.X.Min, p.X.Max = -.5, float64(len(categories))-.5
	return p
}

// bars are the index-th ones of each group.
type bars struct {
	series
	index, of int
}

func (b *bars) Plot(c draw.Canvas, p *plot.Plot) {
	x, y := p.Transforms(&c)
	width := (x(.8) - x(0)) / vg.Length(b.of)
	style := textStyle(min(9, width/2.9))
	style.XAlign, style.YAlign = text.XCenter, text.YBottom
	for i, v := range b.values {
		left := x(float64(i)-.4) + width*vg.Length(b.index)
		fillBox(c, b.color, left, y(0), left+width*.92, y(v))
		c.FillText(style, vg.Point{X: left + width*.46, Y: y(v) + 2}, number(v))
	}
}

func fillBox(c draw.Canvas, fill color.Color, left, bottom, right, top vg.Length) {
	c.FillPolygon(fill, []vg.Point{{X: left, Y: bottom}, {X: left, Y: top}, {X: right, Y: top}, {X: right, Y: bottom}})
}

func textStyle(size vg.Length) text.Style {
	return text.Style{Color: color.Black, Font: font.From(plot.DefaultFont, size), Handler: plot.DefaultTextHandler}
}

// figure is panels, row by row, below a title and a legend.
type figure struct {
	title         string
	legend        []series
	width, height vg.Length
	panels        [][]*plot.Plot
}

func (f figure) save(file string) error {
	canvas := vgsvg.New(f.width, f.height)
	all := draw.New(canvas)
	all.SetColor(color.White)
	all.Fill(all.Rectangle.Path())
	const margin, line = 8, 20
	title := textStyle(13)
	title.XAlign, title.YAlign = text.XCenter, text.YTop
	all.FillText(title, vg.Point{X: all.Center().X, Y: all.Max.Y - margin}, f.title)
	header := vg.Length(margin + line + 4)
	if len(f.legend) > 1 {
		f.drawLegend(all, all.Max.Y-header-line/2)
		header += line
	}
	tiles := draw.Tiles{Rows: len(f.panels), Cols: len(f.panels[0]), PadX: vg.Points(12), PadY: vg.Points(6)}
	for row, canvases := range plot.Align(f.panels, tiles, draw.Crop(all, margin, -margin, margin, -header)) {
		for column, c := range canvases {
			f.panels[row][column].Draw(c)
		}
	}
	var svg bytes.Buffer
	if _, err := canvas.WriteTo(&svg); err != nil {
		return err
	}
	// Not every reader has the font; these have its measures.
	named := bytes.ReplaceAll(svg.Bytes(), []byte("font-family:Liberation Sans;"), []byte("font-family:Liberation Sans,Arial,Helvetica,sans-serif;"))
	return os.WriteFile(file, named, 0o644)
}

// drawLegend writes it in one line, where it covers no data.
func (f figure) drawLegend(c draw.Canvas, y vg.Length) {
	const box, gap, between = 9, 4, 18
	style := textStyle(10)
	style.YAlign = text.YCenter
	total := vg.Length(-between)
	for _, s := range f.legend {
		total += box + gap + style.Width(s.name) + between
	}
	x := c.Center().X - total/2
	for _, s := range f.legend {
		fillBox(c, s.color, x, y-box/2, x+box, y+box/2)
		c.FillText(style, vg.Point{X: x + box + gap, Y: y}, s.name)
		x += box + gap + style.Width(s.name) + between
	}
}

// withoutLabels are an axis's ticks where another panel below has the labels.
type withoutLabels struct{ plot.Ticker }

func (w withoutLabels) Ticks(low, high float64) []plot.Tick {
	ticks := w.Ticker.Ticks(low, high)
	for i := range ticks {
		ticks[i].Label = ""
	}
	return ticks
}

// every has a labelled tick at each multiple of it.
type every float64

func (e every) Ticks(low, high float64) (ticks []plot.Tick) {
	for i := math.Ceil(low / float64(e)); i*float64(e) <= high; i++ {
		v := i*float64(e) + 0 // without the sign of -0
		ticks = append(ticks, plot.Tick{Value: v, Label: fmt.Sprintf("%g", v)})
	}
	return ticks
}

// niceStep is a round number that divides the range into about n steps.
func niceStep(high float64, n int) float64 {
	raw := max(high, 1) / float64(n)
	magnitude := math.Pow(10, math.Floor(math.Log10(raw)))
	for _, round := range []float64{1, 2, 5} {
		if raw <= round*magnitude {
			return round * magnitude
		}
	}
	return 10 * magnitude
}
