package page

// The two drawings. Their lengths are percentages, so that they stretch with the
// page while text and marks keep their size.

import (
	"fmt"
	"time"

	"github.com/tokensource-go/tokensource"
)

// percent is a length or a place in a drawing.
type percent float64

func (p percent) String() string { return fmt.Sprintf("%.2f%%", float64(p)) }

func part(d, of time.Duration) percent { return percent(100 * d.Seconds() / of.Seconds()) }

// bar is a token's life.
type bar struct {
	Gone, Left percent
	Refresh    percent // 0 if that is not ahead
	Age        string
	ToExpiry   string
}

// newBar is nil for a token of which the beginning or the end is not known.
func newBar(st tokensource.Status, since, now time.Time) *bar {
	life, age, left := st.Expiry.Sub(since), now.Sub(since), st.Expiry.Sub(now)
	if since.IsZero() || st.Expiry.IsZero() || age < 0 || left < 0 || life <= 0 {
		return nil
	}
	b := &bar{Gone: part(age, life), Left: part(left, life), Age: inWords(age.Round(time.Second)), ToExpiry: inWords(left.Round(time.Second))}
	if st.NextRefresh.After(now) && st.NextRefresh.Before(st.Expiry) {
		b.Refresh = part(st.NextRefresh.Sub(since), life)
	}
	return b
}

// chart is the last hour's refreshes, a mark for each.
type chart struct {
	Marks   int
	Series  []series
	Ticks   []tick
	Caption string
}

type series struct {
	Label string // as in "3 failed"
	Shape string // the symbol in frame.html
	N     int
	At    []percent
}

type tick struct {
	At    percent
	Label string // empty too close to the edge
}

// tickEvery is 6 labels an hour, which a phone has room for.
const tickEvery = 10 * time.Minute

func newChart(r record, now time.Time) chart {
	all := []struct {
		kind         tokensource.EventKind
		label, shape string
	}{
		{tokensource.EventFetched, "fetched", "fetched"},
		{tokensource.EventLoaded, "taken from the store", "loaded"},
		{tokensource.EventUnchanged, "unchanged", "unchanged"},
		{tokensource.EventFailed, "failed", "failed"},
	}
	c := chart{Marks: len(r.marks)}
	begin := now.Add(-shown)
	for _, k := range all {
		s := series{Label: k.label, Shape: k.shape}
		for _, m := range r.marks {
			if m.kind == k.kind {
				s.At = append(s.At, part(m.at.Sub(begin), shown))
			}
		}
		s.N = len(s.At)
		c.Series = append(c.Series, s)
	}
	for t := begin.Truncate(tickEvery).Add(tickEvery); !t.After(now); t = t.Add(tickEvery) {
		c.Ticks = append(c.Ticks, newTick(t, begin))
	}
	c.Caption = "in the last hour"
	if r.full {
		c.Caption = fmt.Sprintf("since %s, the last %d", newMoment(r.marks[0].at, now).Clock, maxMarks)
	}
	return c
}

func newTick(t, begin time.Time) tick {
	at := part(t.Sub(begin), shown)
	if at < 5 || at > 95 {
		return tick{at, ""}
	}
	return tick{at, t.Format("15:04")}
}
