package main

// What each picture shows.

import (
	"fmt"
	"image/color"
	"math"
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
	for _, picture := range []struct {
		file string
		draw func(file string) error
	}{
		{"read.svg", r.drawRead},
		{"request.svg", r.drawRequest},
		{"rollover.svg", r.drawRollover},
		{"outage.svg", r.drawOutage},
		{"windows.svg", r.drawWindows},
		{"tenants.svg", r.drawTenants},
		{"fleet.svg", r.drawFleet},
	} {
		if err := picture.draw(filepath.Join(dir, picture.file)); err != nil {
			return fmt.Errorf("%s: %w", picture.file, err)
		}
	}
	return nil
}

// column returns a figure of each row, NaN where there is none.
func column[T any](rows []T, na func(T) bool, of func(T) float64) (values []float64) {
	for _, row := range rows {
		v := of(row)
		if na(row) {
			v = math.NaN()
		}
		values = append(values, v)
	}
	return values
}

func names[T any](rows []T, of func(T) string) (all []string) {
	for _, row := range rows {
		all = append(all, of(row))
	}
	return all
}

func (r *Results) drawRead(file string) error {
	value := func(of func(Read) float64) []float64 {
		return column(r.Read, func(row Read) bool { return row.NA != "" }, of)
	}
	bars := []series{
		{"serial", blue, value(func(row Read) float64 { return row.SerialNS })},
		{fmt.Sprintf("parallel, %d cores", r.Machine.Cores), sky, value(func(row Read) float64 { return row.ParallelNS })},
		{fmt.Sprintf("serial, %d MiB live in the process", largeHeap>>20), orange, value(func(row Read) float64 { return row.LargeHeapNS })},
	}
	libraries := names(r.Read, func(row Read) string { return strings.Replace(row.Library, " as an ", "\nas ", 1) })
	return figure{
		title:  "A token from the cache: time per read, lower is better",
		legend: bars,
		width:  pictureWidth, height: barHeight,
		panels: stack(barChart{unit: "ns per read", write: number, categories: libraries, series: bars}.plot()),
	}.save(file)
}

func (r *Results) drawRequest(file string) error {
	value := func(of func(Request) float64) []float64 {
		return column(r.Request, func(row Request) bool { return row.NA != "" }, of)
	}
	libraries := names(r.Request, func(row Request) string { return row.Library })
	return figure{
		title: "A request with a token, lower is better",
		width: pictureWidth, height: 2 * barHeight * .8,
		panels: stack(
			barChart{
				title: "over a base that does nothing", unit: "ns per request", write: number, categories: libraries,
				series: []series{{"", blue, value(func(row Request) float64 { return row.NoopNS })}},
			}.plot(),
			barChart{
				title: "over a TLS connection on loopback", unit: "µs per request", write: number, categories: libraries,
				series: []series{{"", green, value(func(row Request) float64 { return row.TLSNS / 1000 })}},
			}.plot(),
		),
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

// short is for narrow bars.
func short(v float64) string {
	if v < .1 {
		return fmt.Sprintf("%.2f", v)
	}
	return number(v)
}

func (r *Results) drawWindows(file string) error {
	var categories []string
	ideal := series{name: "least possible", color: grey}
	for _, lifetime := range windowLifetimes {
		categories = append(categories, fmt.Sprintf("%.0f s", lifetime.Seconds()))
		ideal.values = append(ideal.values, leastPerThousand(lifetime))
	}
	all := []series{ideal}
	for i, l := range r.Libraries {
		s := series{name: l.Name, color: palette[i%len(palette)]}
		for _, row := range r.Window {
			if row.Library == l.Name {
				s.values = append(s.values, row.PerThousand)
			}
		}
		all = append(all, s)
	}
	p := barChart{
		unit: "token requests per 1,000 calls, log scale", write: short, logarithmic: true,
		categories: categories, series: all,
	}.plot()
	p.X.Label.Text = fmt.Sprintf("lifetime of a token; one caller, a call every %.0f ms", milliseconds(windowPeriod))
	return figure{
		title:  "What the default windows cost, lower is better",
		legend: all,
		width:  pictureWidth * 1.15, height: barHeight * 1.1,
		panels: stack(p),
	}.save(file)
}

func (r *Results) drawTenants(file string) error {
	most := 0
	for _, row := range r.Tenants {
		if row.TokenBytes == shortToken {
			most = max(most, row.Caches)
		}
	}
	rows := slices.DeleteFunc(slices.Clone(r.Tenants), func(row Tenants) bool {
		return row.TokenBytes != shortToken || row.Caches != most && row.Library != lapsedName
	})
	p := barChart{
		unit: "bytes per cache", write: number, target: tenantTarget,
		categories: names(rows, func(row Tenants) string { return row.Library }),
		series:     []series{{"", blue, column(rows, func(Tenants) bool { return false }, func(row Tenants) float64 { return row.Bytes })}},
	}.plot()
	p.X.Label.Text = fmt.Sprintf("dashed: tokensource's target, %d bytes", tenantTarget)
	return figure{
		title: fmt.Sprintf("Live heap per cache with a token of %d bytes, %s caches, lower is better", shortToken, thousands(most)),
		width: pictureWidth, height: barHeight,
		panels: stack(p),
	}.save(file)
}

func (r *Results) drawFleet(file string) error {
	var categories []string
	with, without := series{name: "with a store", color: blue}, series{name: "without", color: orange}
	for _, row := range r.Fleet {
		if row.Store {
			categories = append(categories, count(row.Processes, "process", "processes"))
			with.values = append(with.values, row.PerRollover)
		} else {
			without.values = append(without.values, row.PerRollover)
		}
	}
	return figure{
		title:  "Token requests of a fleet, lower is better",
		legend: []series{with, without},
		width:  pictureWidth * .75, height: barHeight,
		panels: stack(barChart{
			unit: "token requests per rollover", write: number,
			categories: categories, series: []series{with, without},
		}.plot()),
	}.save(file)
}
