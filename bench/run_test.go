package main

// What must hold of any run, whatever the machine: counts and waits in virtual
// time. No test looks at real time.

import (
	"encoding/json"
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
	p.timing = timing{rounds: 8, each: time.Millisecond}
	p.tenants = 1000
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
	t.Run("allocations", func(t *testing.T) { wantAllocations(t, r) })
	t.Run("files", func(t *testing.T) { wantFiles(t, r) })
}

func wantRollover(t *testing.T, r *Results) {
	if want := len(libraries()) * len(quickPlan.endpoints); len(r.Rollover) != want {
		t.Fatalf("%d rows, want %d", len(r.Rollover), want)
	}
	for _, row := range r.Rollover {
		if row.Requests == 0 || row.Calls == 0 {
			t.Errorf("%+v: nothing was measured", row)
		}
		if !isOurs(row.Library) {
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
	start, best := r.outage(tokensourceLibrary.name, atStart), r.outage(libraries()[1].name, atStart)
	for _, l := range libraries()[2:] {
		if row := r.outage(l.name, atStart); row.Bad < best.Bad {
			best = row
		}
	}
	if start.Requests*10 > best.Requests || start.Bad*4 > best.Bad*5 {
		t.Errorf("an outage without a token yet: %d token requests, %d bad calls; %s has %d and %d", start.Requests, start.Bad, best.Library, best.Requests, best.Bad)
	}
	for _, row := range []Outage{ours, start} {
		// Attempts are 1 to 2 s apart without a token, up to 8 s with one.
		if row.Peak > 3 || row.Requests > 15 || row.NewTokenMS <= 0 || row.NewTokenMS > 8000 {
			t.Errorf("%s: not what the pauses between attempts allow: %+v", row.Case, row)
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
		if row.Bytes < tokenBytes {
			t.Errorf("%s, %d caches: %v bytes each, less than its token", row.Library, row.Caches, row.Bytes)
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
	saved, err := os.ReadFile(filepath.Join(dir, "results.json"))
	again := &Results{}
	if err != nil || json.Unmarshal(saved, again) != nil || !reflect.DeepEqual(again, r) {
		t.Errorf("results.json does not hold what was measured: %v", err)
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
	if err != nil || len(pictures) != 3 {
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
