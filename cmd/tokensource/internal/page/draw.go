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

// bar is a token's life, or how many tokens are ready.
type bar struct {
	Title       string
	From, Width percent // of the part in colour
	Marks       []percent
	Begin, End  string // under its ends
}

// newBar is nil for a token of which the beginning or the end is not known.
func newBar(st tokensource.Status, since, now time.Time) *bar {
	life, age, left := st.Expiry.Sub(since), now.Sub(since), st.Expiry.Sub(now)
	if since.IsZero() || st.Expiry.IsZero() || age < 0 || left < 0 || life <= 0 {
		return nil
	}
	gone, rest := inWords(age.Round(time.Second)), inWords(left.Round(time.Second))
	b := &bar{
		Title: "Of the token's life " + gone + " are over, " + rest + " are left",
		From:  part(age, life), Width: part(left, life),
		Begin: "Token age " + gone, End: rest + " to expiry",
	}
	if st.NextRefresh.After(now) && st.NextRefresh.Before(st.Expiry) {
		b.Marks = []percent{part(st.NextRefresh.Sub(since), life)}
		b.Title += "; the mark is the next refresh"
	}
	return b
}

// maxParts is how many parts of a bar can be told apart on a phone.
const maxParts = 30

func newReadyBar(ready, want int) *bar {
	text := fmt.Sprintf("%d of %d single-use tokens ready", ready, want)
	b := &bar{Title: text, Width: percent(100 * float64(ready) / float64(want)), Begin: text}
	for i := 1; i < want && want <= maxParts; i++ {
		b.Marks = append(b.Marks, percent(100*float64(i)/float64(want)))
	}
	return b
}

// chart is the last hour's refreshes, a mark for each.
type chart struct {
	Caption string
	Series  []series
	Ticks   []tick
}

type series struct {
	Label string // after a number
	Shape string // the symbol in frame.html
	At    []percent
}

type tick struct {
	At    percent
	Label string
}

const tickEvery = 10 * time.Minute // a phone has room for six labels

func newChart(r record, now time.Time) chart {
	c := chart{Caption: "in the last hour"}
	if r.full {
		c.Caption = fmt.Sprintf("since %s, the last %d", newMoment(r.marks[0].at, now).Clock, maxMarks)
	}
	begin := now.Add(-shown)
	for _, s := range []struct {
		kind         tokensource.EventKind
		label, shape string
	}{
		{tokensource.EventFetched, "fetched", "fetched"},
		{tokensource.EventLoaded, "taken from the store", "loaded"},
		{tokensource.EventUnchanged, "unchanged", "unchanged"},
		{tokensource.EventFailed, "failed", "failed"},
	} {
		var at []percent
		for _, m := range r.marks {
			if m.kind == s.kind {
				at = append(at, part(m.at.Sub(begin), shown))
			}
		}
		if at != nil {
			c.Series = append(c.Series, series{s.label, s.shape, at})
		}
	}
	for t := begin.Truncate(tickEvery).Add(tickEvery); !t.After(now); t = t.Add(tickEvery) {
		k := tick{At: part(t.Sub(begin), shown)}
		if k.At > 5 && k.At < 88 { // clear of the edge and of "now"
			k.Label = t.Format("15:04")
		}
		c.Ticks = append(c.Ticks, k)
	}
	return c
}
