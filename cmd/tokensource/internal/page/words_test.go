package page

import (
	"testing"
	"time"
)

func TestInWords(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0:                                     "0 ms",
		212 * time.Millisecond:                "212 ms",
		1500 * time.Millisecond:               "1.5 s",
		3 * time.Second:                       "3 s",
		59*time.Second + 999*time.Millisecond: "59 s",
		time.Minute:                           "1 min",
		252 * time.Second:                     "4 min 12 s",
		time.Hour + 5*time.Second:             "1 h",
		time.Hour + 30*time.Minute:            "1 h 30 min",
		50*time.Hour + time.Minute:            "2 d 2 h",
		30*24*time.Hour + 12*time.Hour + 1:    "30 d 12 h",
		10*time.Second + 500*time.Millisecond: "10 s",
		9*time.Second + 999*time.Millisecond:  "10.0 s",
	} {
		if got := inWords(d); got != want {
			t.Errorf("%v: %q, want %q", d, got, want)
		}
	}
}

func TestMoment(t *testing.T) {
	now := time.Date(2026, 11, 24, 23, 59, 58, 0, time.FixedZone("CET", 3600))
	for name, tt := range map[string]struct {
		t    time.Time
		want moment
	}{
		"none":          {time.Time{}, moment{}},
		"now":           {now.Add(300 * time.Millisecond), moment{"2026-11-24T23:59:58+01:00", "23:59:58", "now"}},
		"soon":          {now.Add(time.Second), moment{"2026-11-24T23:59:59+01:00", "23:59:59", "in 1 s"}},
		"tomorrow":      {now.Add(4 * time.Second), moment{"2026-11-25T00:00:02+01:00", "25 Nov 00:00:02", "in 4 s"}},
		"before":        {now.Add(-90 * time.Second), moment{"2026-11-24T23:58:28+01:00", "23:58:28", "1 min 30 s ago"}},
		"in other zone": {now.Add(-time.Hour).UTC(), moment{"2026-11-24T22:59:58+01:00", "22:59:58", "1 h ago"}},
	} {
		if got := newMoment(tt.t, now); got != tt.want {
			t.Errorf("%s: %+v, want %+v", name, got, tt.want)
		}
	}
}
