package page

// Times as an operator reads them.

import (
	"fmt"
	"strings"
	"time"
)

// moment is a point in time, in its three forms.
type moment struct {
	ISO      string
	Clock    string // with the day if that is another one
	Relative string // to now
}

func newMoment(t, now time.Time) moment {
	if t.IsZero() {
		return moment{}
	}
	t = t.In(now.Location())
	m := moment{ISO: t.Format(time.RFC3339), Clock: t.Format("15:04:05")}
	if t.Format(time.DateOnly) != now.Format(time.DateOnly) {
		m.Clock = t.Format("2 Jan 15:04:05")
	}
	switch d := t.Sub(now).Round(time.Second); {
	case d >= time.Second:
		m.Relative = "in " + inWords(d)
	case d <= -time.Second:
		m.Relative = inWords(-d) + " ago"
	default:
		m.Relative = "now"
	}
	return m
}

// inWords writes the two greatest units: "4 min 12 s".
func inWords(d time.Duration) string {
	if d < time.Second {
		return fmt.Sprintf("%d ms", d.Milliseconds())
	}
	if d < 10*time.Second && d%time.Second != 0 {
		return fmt.Sprintf("%.1f s", d.Seconds())
	}
	var words []string
	for _, unit := range []struct {
		of   time.Duration
		name string
	}{{24 * time.Hour, "d"}, {time.Hour, "h"}, {time.Minute, "min"}, {time.Second, "s"}} {
		n := d / unit.of
		d -= n * unit.of
		if n > 0 {
			words = append(words, fmt.Sprintf("%d %s", n, unit.name))
		}
		if len(words) == 2 || n == 0 && len(words) == 1 {
			break
		}
	}
	return strings.Join(words, " ")
}
