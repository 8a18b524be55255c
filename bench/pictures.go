package main

// What each picture shows.

import (
	"errors"
	"fmt"
	"image/color"
	"path/filepath"
	"slices"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
)

const (
	pictureWidth = 8.5 * vg.Inch
	barHeight    = 3.6 * vg.Inch
	panelHeight  = 1.0 * vg.Inch
)

func (r *Results) draw(dir string) error {
	return errors.Join(
		r.drawRead(filepath.Join(dir, "read.svg")),
		r.drawRollover(filepath.Join(dir, "rollover.svg")),
		r.drawOutage(filepath.Join(dir, "outage.svg")))
}

func (r *Results) drawRead(file string) error {
	var libraries []string
	var serial, parallel []float64
	for _, row := range r.Read {
		if row.NA == "" {
			libraries = append(libraries, strings.Replace(row.Library, " as an ", "\nas ", 1))
			serial, parallel = append(serial, row.SerialNS), append(parallel, row.ParallelNS)
		}
	}
	bars := []series{
		{"serial", blue, serial},
		{fmt.Sprintf("parallel, %d cores", r.Machine.Cores), sky, parallel},
	}
	return figure{
		title:  "A token from the cache: time per read, lower is better",
		legend: bars,
		width:  pictureWidth, height: barHeight,
		panels: stack(barChart("ns per read", libraries, bars)),
	}.save(file)
}

func (r *Results) drawRollover(file string) error {
	rows := slices.DeleteFunc(slices.Clone(r.Rollover), func(row Rollover) bool { return row.Worst == nil })
	highest := 0.0
	for _, row := range rows {
		highest = max(highest, slices.Max(row.Worst))
	}
	var panels []*plot.Plot
	for i, row := range rows {
		p := newPlot(fmt.Sprintf("%s: %s of %s calls waited", row.Library, thousands(row.Waited), thousands(row.Calls)))
		line, err := plotter.NewLine(corners(row.Worst))
		if err != nil {
			return err
		}
		line.Color, line.Width = blue, vg.Points(1.4)
		p.Add(line)
		p.X.Tick.Marker = every(rolloverLifetime.Seconds() / 2)
		p.Y.Label.Text = "ms"
		p.Y.Tick.Marker = every(niceStep(highest, 2))
		p.Y.Min, p.Y.Max = 0, max(highest*1.1, 1)
		p.X.Min, p.X.Max = 0, float64(len(row.Worst))
		bottomOnly(p, i == len(rows)-1, "seconds since the start; tokens live 600 s, each caller makes a call a second")
		panels = append(panels, p)
	}
	return figure{
		title: fmt.Sprintf("The slowest call in each second: %d callers, token endpoint of %.0f ms", picturedWorkers, milliseconds(picturedEndpoint)),
		width: pictureWidth, height: stackHeight(panels),
		panels: stack(panels...),
	}.save(file)
}

// stack is one column.
func stack(plots ...*plot.Plot) (rows [][]*plot.Plot) {
	for _, p := range plots {
		rows = append(rows, []*plot.Plot{p})
	}
	return rows
}

// stackHeight leaves room for the title, the legend and the lowest axis.
func stackHeight[T any](rows []T) vg.Length { return panelHeight*vg.Length(len(rows)) + vg.Inch }

// before is how much of the time before the outage is shown.
const before = 2

func (r *Results) drawOutage(file string) error {
	highest := 0
	for _, row := range r.Outage {
		highest = max(highest, row.Peak, slices.Max(row.BadEachSecond))
	}
	var panels [][]*plot.Plot
	for i, l := range r.Libraries {
		var pair []*plot.Plot
		for _, when := range []string{atRenewal, atStart} {
			row := r.outage(l.Name, when)
			p := newPlot(fmt.Sprintf("%s: %s, %s", row.Library, count(row.Requests, "token request", "token requests"), count(row.Bad, "bad call", "bad calls")))
			bad, err := area(row.BadEachSecond, orange)
			if err != nil {
				return err
			}
			sent, err := area(row.RequestsEachSecond, blue)
			if err != nil {
				return err
			}
			p.Add(bad, sent)
			p.X.Tick.Marker = every(5)
			p.Y.Tick.Marker = every(niceStep(float64(highest), 3))
			p.Y.Label.Text = "per s"
			p.Y.Min, p.Y.Max = 0, float64(highest)*1.1
			p.X.Min, p.X.Max = -before, 25
			bottomOnly(p, i == len(r.Libraries)-1, "seconds since the outage began; it lasts 10 s")
			pair = append(pair, p)
		}
		panels = append(panels, pair)
	}
	return figure{
		title:  "The token endpoint fails for 10 s: left, at a renewal; right, when there is no token yet",
		legend: []series{{name: "token requests", color: blue}, {name: "bad calls: failed, over 1 s, or given an expired token", color: orange}},
		width:  pictureWidth * 1.15, height: stackHeight(panels),
		panels: panels,
	}.save(file)
}

// area is filled steps, one a second from 0.
func area(each []int, c color.Color) (*plotter.Polygon, error) {
	points := plotter.XYs{{X: 0, Y: 0}}
	for second, n := range each {
		points = append(points, plotter.XY{X: float64(second), Y: float64(n)}, plotter.XY{X: float64(second + 1), Y: float64(n)})
	}
	points = append(points, plotter.XY{X: float64(len(each)), Y: 0})
	p, err := plotter.NewPolygon(points)
	if err != nil {
		return nil, err
	}
	p.Color = c
	p.LineStyle.Color, p.LineStyle.Width = c, vg.Points(.8)
	return p, nil
}

// corners are the values by the second; of a stretch without change only the
// ends.
func corners(values []float64) (points plotter.XYs) {
	for i, v := range values {
		if i == 0 || i == len(values)-1 || v != values[i-1] || v != values[i+1] {
			points = append(points, plotter.XY{X: float64(i), Y: v})
		}
	}
	return points
}

// bottomOnly leaves the labels of the x axis to the lowest panel.
func bottomOnly(p *plot.Plot, bottom bool, label string) {
	if bottom {
		p.X.Label.Text = label
	} else {
		p.X.Tick.Marker = withoutLabels{p.X.Tick.Marker}
	}
}
