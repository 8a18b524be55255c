package main

// Drawing: bars and stacks of panels, in SVG.

import (
	"bytes"
	"fmt"
	"image/color"
	"math"
	"os"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

// Colours that stay apart for colour-blind eyes (Okabe and Ito).
var (
	blue   = color.RGBA{0x00, 0x72, 0xB2, 0xFF}
	orange = color.RGBA{0xE6, 0x9F, 0x00, 0xFF}
	red    = color.RGBA{0xD5, 0x5E, 0x00, 0xFF}
	green  = color.RGBA{0x00, 0x9E, 0x73, 0xFF}
	purple = color.RGBA{0xCC, 0x79, 0xA7, 0xFF}
	sky    = color.RGBA{0x56, 0xB4, 0xE9, 0xFF}
	grey   = color.Gray{0x99}

	palette = []color.Color{blue, orange, green, red, purple, sky}
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

// series is one bar of each group; a value that is NaN is not available.
type series struct {
	name   string
	color  color.Color
	values []float64
}

// barChart groups bars by category. Each has its value written above it.
type barChart struct {
	title, unit string
	write       func(float64) string
	logarithmic bool
	categories  []string
	series      []series
	target      float64 // a dashed line; 0: none
}

func (c barChart) plot() *plot.Plot {
	p := newPlot(c.title)
	p.Y.Label.Text = c.unit
	low, high := math.Inf(1), c.target*1.25
	for _, s := range c.series {
		for _, v := range s.values {
			if !math.IsNaN(v) {
				low, high = min(low, v), max(high, v)
			}
		}
	}
	base := 0.0
	p.Y.Min, p.Y.Max = 0, high*1.15
	p.Y.Tick.Marker = every(niceStep(p.Y.Max, 6))
	if c.logarithmic {
		base = math.Pow(10, math.Floor(math.Log10(low)))
		p.Y.Min, p.Y.Max = base, high*4
		p.Y.Scale = plot.LogScale{}
		p.Y.Tick.Marker = decades{}
		// Such an axis is not made room for where its label belongs.
		p.Title.Text, p.Y.Label.Text = c.unit, ""
	}
	p.NominalX(c.categories...)
	p.X.Min, p.X.Max = -.5, float64(len(c.categories))-.5
	if c.target > 0 {
		line := plotter.NewFunction(func(float64) float64 { return c.target })
		line.Color, line.Dashes = red, []vg.Length{4, 3}
		p.Add(line)
	}
	for i, s := range c.series {
		p.Add(&bars{series: s, write: c.write, base: base, index: i, of: len(c.series)})
	}
	return p
}

// bars are the index-th ones of each group. They work on a logarithmic axis,
// where nothing starts at 0.
type bars struct {
	series
	write     func(float64) string
	base      float64
	index, of int
}

func (b *bars) Plot(c draw.Canvas, p *plot.Plot) {
	x, y := p.Transforms(&c)
	width := (x(.8) - x(0)) / vg.Length(b.of)
	style := textStyle(min(9, width/2.9))
	style.XAlign, style.YAlign = text.XCenter, text.YBottom
	for i, v := range b.values {
		left := x(float64(i)-.4) + width*vg.Length(b.index)
		label, top := "n/a", y(b.base)
		if !math.IsNaN(v) {
			label, top = b.write(v), y(max(v, b.base))
			fillBox(c, b.color, left, y(b.base), left+width*.92, top)
		}
		at := vg.Point{X: left + width*.46, Y: top + 2}
		box := style.Rectangle(label).Add(at)
		fillBox(c, color.White, box.Min.X, top+1, box.Max.X, box.Max.Y)
		c.FillText(style, at, label)
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

// decades has a labelled tick at each power of ten, and none beyond the axis,
// for which plot would make room.
type decades struct{}

func (decades) Ticks(low, high float64) (ticks []plot.Tick) {
	for v := math.Pow(10, math.Floor(math.Log10(low))); v <= high; v *= 10 {
		ticks = append(ticks, plot.Tick{Value: v, Label: fmt.Sprintf("%.4g", v)})
		for i := 2.0; i < 10 && i*v <= high; i++ {
			ticks = append(ticks, plot.Tick{Value: i * v})
		}
	}
	return ticks
}
