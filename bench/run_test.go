package main

// What must hold of any run, whatever the machine: counts and waits in virtual
// time. No test looks at real time.

import (
	"encoding/xml"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

// smallPlan is -quick's, with the real-time parts as short as they can be.
func smallPlan() plan {
	p := quickPlan
	p.timing = timing{rounds: 1, each: time.Millisecond}
	p.check = 0
	p.tenants, p.longTokens = []int{1, 100, 1000}, 100
	p.lapsed = 100
	return p
}

func TestRun(t *testing.T) {
	r, err := smallPlan().run(t, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	t.Run("rollover", func(t *testing.T) { wantRollover(t, r) })
	t.Run("outage", func(t *testing.T) { wantOutage(t, r) })
	t.Run("windows", func(t *testing.T) { wantWindows(t, r) })
	t.Run("tenants", func(t *testing.T) { wantTenants(t, r) })
	t.Run("fleet", func(t *testing.T) { wantFleet(t, r) })
	t.Run("allocations", func(t *testing.T) { wantAllocations(t, r) })
	t.Run("files", func(t *testing.T) { wantFiles(t, r) })
}

func wantRollover(t *testing.T, r *Results) {
	if want := len(libraries()) * (len(quickPlan.workers)*len(quickPlan.endpoints) + 1); len(r.Rollover) != want {
		t.Fatalf("%d rows, want %d", len(r.Rollover), want)
	}
	for _, row := range r.Rollover {
		if row.Requests == 0 || row.Calls == 0 {
			t.Errorf("%+v: nothing was measured", row)
		}
		if !isOurs(row.Library) || row.Workers == 1 {
			continue
		}
		if row.Waited != 0 || row.Max != 0 || row.Expired != 0 {
			t.Errorf("%+v: our callers waited or got an expired token", row)
		}
		if least := quickPlan.lifetimes; row.Requests > least+1 {
			t.Errorf("%+v: more than one token request for each of %d lifetimes", row, least)
		}
	}
	for _, l := range libraries() {
		if len(r.pictured(l.name).Worst) == 0 {
			t.Errorf("%s has no course over time", l.name)
		}
	}
}

func wantOutage(t *testing.T, r *Results) {
	ours := r.outage(tokensourceLibrary.name, atRenewal)
	if ours.Bad != 0 || ours.WorstMS != 0 {
		t.Errorf("an outage touched callers with a valid token: %+v", ours)
	}
	for _, when := range []string{atRenewal, atStart} {
		row := r.outage(tokensourceLibrary.name, when)
		if row.Requests == 0 || row.Peak > 3 || row.Requests > 15 {
			t.Errorf("%s: %d token requests, %d in one second: not what the backoff allows", when, row.Requests, row.Peak)
		}
		// An attempt fails at 7 to 9 s, the next one is 8 s later.
		if row.NewTokenMS <= 0 || row.NewTokenMS > 8000 {
			t.Errorf("%s: a new token %v ms after the end", when, row.NewTokenMS)
		}
	}
	for _, l := range libraries() {
		if row := r.outage(l.name, atStart); row.Bad == 0 || row.Requests == 0 {
			t.Errorf("%s noticed nothing of an outage without a token: %+v", l.name, row)
		}
	}
}

func wantWindows(t *testing.T, r *Results) {
	for _, l := range libraries() {
		for _, lifetime := range windowLifetimes {
			row, least := r.window(l.name, lifetime), leastPerThousand(lifetime)
			if row.PerThousand < least-1e-9 {
				t.Errorf("%s, %v: %v requests per 1,000 calls, no cache can do with less than %v", l.name, lifetime, row.PerThousand, least)
			}
			if isOurs(l.name) && (row.PerThousand > 1.5*least || row.LeastLeftS <= 0) {
				t.Errorf("%v: %v requests per 1,000 calls, the least possible is %v; %v s left on a token", lifetime, row.PerThousand, least, row.LeastLeftS)
			}
		}
	}
}

func wantTenants(t *testing.T, r *Results) {
	for _, row := range r.Tenants {
		if row.Goroutines != 0 {
			t.Errorf("%s, %d caches: %v goroutines each", row.Library, row.Caches, row.Goroutines)
		}
		if row.Bytes < float64(row.TokenBytes) {
			t.Errorf("%s, %d caches: %v bytes each, less than its token", row.Library, row.Caches, row.Bytes)
		}
	}
}

func wantFleet(t *testing.T, r *Results) {
	for _, row := range r.Fleet {
		want := 1
		if !row.Store {
			want = row.Processes
		}
		if row.AtStart != want || row.PerRollover != float64(want) || row.Rollovers == 0 {
			t.Errorf("%+v: want %d token requests each time", row, want)
		}
		if row.Waited != 0 {
			t.Errorf("%+v: callers waited", row)
		}
	}
}

func wantAllocations(t *testing.T, r *Results) {
	for _, row := range r.Read {
		most := int64(0)
		if isOurs(row.Library) {
			most = 1
		}
		if row.Library == floorName && row.Allocs > most || isOurs(row.Library) && row.Allocs > most {
			t.Errorf("a read from %s has %d allocations, want at most %d", row.Library, row.Allocs, most)
		}
	}
	for _, row := range r.Request {
		if isOurs(row.Library) && row.Allocs > 4 {
			t.Errorf("a request has %d allocations, want at most 4", row.Allocs)
		}
	}
}

func wantFiles(t *testing.T, r *Results) {
	dir := filepath.Join(t.TempDir(), "new")
	if err := r.write(dir); err != nil {
		t.Fatal(err)
	}
	again, err := readResults(dir)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(again, r) {
		t.Error("results.json does not hold what was measured")
	}
	report, err := os.ReadFile(filepath.Join(dir, "results.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{"NaN", "Inf", "%!"} {
		if strings.Contains(string(report), bad) {
			t.Errorf("results.md has a %s", bad)
		}
	}
	for _, l := range libraries() {
		if !strings.Contains(string(report), l.module) {
			t.Errorf("results.md does not name %s", l.module)
		}
	}
	pictures, err := filepath.Glob(filepath.Join(dir, "*.svg"))
	if err != nil || len(pictures) != 7 {
		t.Fatalf("%d pictures, error %v", len(pictures), err)
	}
	for _, picture := range pictures {
		if !strings.Contains(string(report), "]("+filepath.Base(picture)+")") {
			t.Errorf("results.md does not show %s", filepath.Base(picture))
		}
		f, err := os.Open(picture)
		if err != nil {
			t.Fatal(err)
		}
		for d := xml.NewDecoder(f); err == nil; {
			_, err = d.Token()
		}
		if f.Close(); !errors.Is(err, io.EOF) {
			t.Errorf("%s: %v", picture, err)
		}
	}
}

// A figure that a peer has and we do not have as good must not go missing, nor
// one be shown that is within the noise.
func TestShortfall(t *testing.T) {
	libraries := []About{{Name: tokensourceLibrary.name}, {Name: "peer"}, {Name: "other"}}
	for _, tt := range []struct {
		name              string
		ours, peer, other float64
		want              bool
	}{
		{"better", 1, 2, 3, false},
		{"equal", 1, 1, 3, false},
		{"worse than one", 2, 3, 1, true},
		{"worse by the noise", 104, 100, 200, false},
		{"we have none", math.NaN(), 1, 1, false},
		{"a peer has none", 2, math.NaN(), 1, true},
		{"all peers have none", 2, math.NaN(), math.NaN(), false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			values := map[string]float64{libraries[0].Name: tt.ours, "peer": tt.peer, "other": tt.other}
			line, short := comparison{
				what:  "figure",
				value: func(l About) float64 { return values[l.Name] },
				write: number,
				noise: .05,
			}.shortfall(libraries)
			if short != tt.want || short != (line != "") {
				t.Errorf("%v, %q; want %v", short, line, tt.want)
			}
		})
	}
}
