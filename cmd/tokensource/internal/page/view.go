package page

// What the page says, worked out from what the Cache knows and told.

import (
	"cmp"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/tokensource-go/tokensource"
)

// state is how a source is; a greater one is worse. Its text is the class that
// style.css has a colour for, and the symbol that frame.html has a shape for.
type state int

const (
	idle state = iota
	well
	failing
	dead
)

func (s state) String() string { return [...]string{"idle", "well", "failing", "dead"}[s] }

// overview is the page.
type overview struct {
	Title   string
	State   state // the worst
	Refresh int   // seconds; 0: it stays as it is
	Started moment
	Now     moment
	Zone    string
	Sources []source
}

// source is a part of the page.
type source struct {
	ID         string
	Name       string
	From       string // what it asks
	State      state
	Words      string
	Why        string
	Facts      []fact
	Bar        *bar
	Chart      chart
	CountLists []countList
}

// fact has a moment or a text, or both.
type fact struct {
	Label string
	At    moment
	Text  string
}

type countList struct {
	Label  string
	Counts []count
}

type count struct {
	Label string
	N     int
	Bad   bool
}

func newOverview(sources []Source, started, now time.Time) overview {
	o := overview{Started: newMoment(started, now), Now: newMoment(now, now), Zone: now.Format("MST")}
	for i, s := range sources {
		o.Sources = append(o.Sources, newSource(fmt.Sprintf("source-%d", i+1), s, now))
	}
	slices.SortStableFunc(o.Sources, func(a, b source) int { return cmp.Compare(b.State, a.State) })
	o.summarize()
	return o
}

// summarize says the worst in one line.
func (o *overview) summarize() {
	if len(o.Sources) == 0 {
		o.Title = "No sources"
		return
	}
	o.State = o.Sources[0].State
	var names []string
	for _, s := range o.Sources {
		if s.State == o.State {
			names = append(names, s.Name)
		}
	}
	which := strings.Join(names, ", ")
	if len(which) > 60 {
		which = fmt.Sprintf("%d of %d sources", len(names), len(o.Sources))
	}
	o.Title = map[state]string{
		dead:    "No token: " + which,
		failing: "Refresh is failing: " + which,
		well:    "All well",
		idle:    "No token in use",
	}[o.State]
}

func newSource(id string, s Source, now time.Time) source {
	st, r, single := s.Cache.Status(), s.History.read(now), false
	v := source{ID: id, Name: s.Name}
	var from []string
	if st.Provider != s.Name {
		from = append(from, st.Provider)
	}
	if p, ok := s.Cache.Source.(tokensource.Provider); ok {
		e := p.Endpoint()
		single = e.SingleUse
		if u, err := url.Parse(e.URL); err == nil && u.Host != "" {
			from = append(from, u.Host)
		}
	}
	v.From = strings.Join(from, ", ")
	if s, ok := s.Cache.Source.(interface{ SingleUse() bool }); ok {
		single = s.SingleUse()
	}
	v.State, v.Words = judge(st, r, single, now)
	if st.Err != nil {
		v.Why = strings.TrimPrefix(st.Err.Error(), "tokensource: ")
	}
	v.Facts = facts(st, r, now)
	switch want := s.Cache.Ready; {
	case want > 0:
		v.Bar = newReadyBar(st.Ready, want)
	case st.Valid:
		v.Bar = newBar(st, r.token, now)
	}
	v.Chart = newChart(r, now)
	v.CountLists = countLists(r)
	return v
}

// judge says how a source is, in words too.
func judge(st tokensource.Status, r record, single bool, now time.Time) (state, string) {
	asked := len(r.counts) > 0 || !st.Expiry.IsZero()
	switch {
	case !st.Valid && st.Err != nil && st.HeldUntil.After(now):
		return dead, "No token: held until " + newMoment(st.HeldUntil, now).Clock
	case !st.Valid && st.Err != nil:
		return dead, "No token"
	case st.Err != nil:
		return failing, "Valid, refresh is failing"
	case st.Valid:
		return well, "Valid"
	case !asked:
		return idle, "Not asked for yet"
	case single:
		return well, "Valid: a token for each request"
	}
	return idle, "No token in use: the next request gets one"
}

func facts(st tokensource.Status, r record, now time.Time) (fs []fact) {
	next, at := "Next refresh", st.NextRefresh
	if st.Err != nil {
		next = "Next attempt"
	}
	if st.Err != nil && (!st.Valid || st.Ready > 0) {
		at = st.HeldUntil
	}
	switch {
	case st.Valid && at.IsZero(), !st.Valid && st.Err == nil: // nothing to come
	case !at.After(now):
		fs = append(fs, fact{next, moment{}, "with the next request"})
	case !st.Valid:
		fs = append(fs, fact{next, newMoment(at, now), "if asked"})
	case st.Ready > 0:
		fs = append(fs, fact{next, newMoment(at, now), "or before"})
	default:
		fs = append(fs, fact{next, newMoment(at, now), ""})
	}
	switch {
	case !st.Expiry.IsZero() && !st.Expiry.After(now):
		fs = append(fs, fact{"Expired", newMoment(st.Expiry, now), ""})
	case !st.Expiry.IsZero() && !st.Valid:
		fs = append(fs, fact{"Expires", newMoment(st.Expiry, now), "too soon for use"})
	case !st.Expiry.IsZero():
		fs = append(fs, fact{"Expires", newMoment(st.Expiry, now), ""})
	case st.Valid && st.Ready == 0:
		fs = append(fs, fact{"Expires", moment{}, "never"})
	}
	if r.failed > 0 {
		fs = append(fs, fact{"Failing since", newMoment(r.failing, now), ""},
			fact{"Failures", moment{}, fmt.Sprint(r.failed)})
	}
	if !r.success.IsZero() {
		fs = append(fs, fact{"Last success", newMoment(r.success, now), ""},
			fact{"Refresh took", moment{}, inWords(r.took)})
	}
	return fs
}

// countLists has what happened at all.
func countLists(r record) []countList {
	of := func(label string, kind tokensource.EventKind, err, bad bool) count {
		return count{label, r.counts[outcome{kind, err}], bad}
	}
	var answers []count
	for _, status := range slices.Sorted(maps.Keys(r.answers)) {
		label := strings.TrimSpace(fmt.Sprint(status, " ", http.StatusText(status)))
		answers = append(answers, count{label, r.answers[status], status >= 400})
	}
	lists := []countList{
		{"Requests by answer", answers},
		{"Requests by wait", []count{
			of("served during a refresh", tokensource.EventServed, false, false),
			of("waited, got a token", tokensource.EventWaited, false, false),
			of("waited, got none", tokensource.EventWaited, true, true),
			of("held: failed at once", tokensource.EventHeld, true, true),
		}},
		{"All refreshes", []count{
			of("fetched", tokensource.EventFetched, false, false),
			of("taken from the store", tokensource.EventLoaded, false, false),
			of("unchanged", tokensource.EventUnchanged, false, false),
			of("failed", tokensource.EventFailed, true, true),
			of("store failures", tokensource.EventStoreFailed, true, true),
		}},
		{"Rejected tokens", []count{
			of("invalidated", tokensource.EventInvalidated, false, false),
			of("held: kept for now", tokensource.EventHeld, false, true),
		}},
	}
	for i := range lists {
		lists[i].Counts = slices.DeleteFunc(lists[i].Counts, func(c count) bool { return c.N == 0 })
	}
	return slices.DeleteFunc(lists, func(l countList) bool { return len(l.Counts) == 0 })
}
