package main

// The parts that figures are made with.

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// Every adapter must give what the library gives: a token of the endpoint, the
// same one again, and the endpoint's failure.
func TestAdapters(t *testing.T) {
	for _, l := range libraries() {
		t.Run(l.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := &endpoint{latency: time.Second, lifetime: time.Hour, outageFrom: 1, outageFor: time.Minute}
				src := l.virtual(e.fetch)
				if access, err := src.token(t.Context()); err == nil {
					t.Errorf("got %q from an endpoint that fails", access)
				}
				time.Sleep(2 * time.Minute)
				for range 2 {
					if access, err := src.token(t.Context()); err != nil || e.left(access) <= 0 {
						t.Errorf("got %q, error %v", access, err)
					}
				}
				asked := e.asked()
				if last := asked[len(asked)-1].Sub(asked[0]); last < 2*time.Minute {
					t.Errorf("no token was asked for after the outage")
				}
				if n := len(asked); n > 2 && asked[n-2].Sub(asked[0]) > time.Minute {
					t.Errorf("more than one token was asked for: %v", asked)
				}
			})
		})
	}
}

// recorder is a base that keeps the headers it is sent.
type recorder struct{ authorization []string }

func (r *recorder) RoundTrip(req *http.Request) (*http.Response, error) {
	r.authorization = append(r.authorization, req.Header.Get("Authorization"))
	return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody, Request: req}, nil
}

func TestTransports(t *testing.T) {
	for _, l := range libraries() {
		if l.transport == nil {
			if l.noTransport == "" {
				t.Errorf("%s: no transport and no reason", l.name)
			}
			continue
		}
		t.Run(l.name, func(t *testing.T) {
			base := &recorder{}
			transport := l.transport(lasting, base)
			req, err := http.NewRequest(http.MethodGet, "https://api.example/path", nil)
			if err != nil {
				t.Fatal(err)
			}
			for range 2 {
				if _, err := transport.RoundTrip(req); err != nil {
					t.Fatal(err)
				}
			}
			want := "Bearer the-access-token-of-the-benchmark"
			if !slices.Equal(base.authorization, []string{want, want}) || req.Header.Get("Authorization") != "" {
				t.Errorf("sent %q, the caller's request has %q", base.authorization, req.Header)
			}
		})
	}
}

// held is a source that lets nobody by before a moment.
type held struct{ until time.Time }

func (h held) token(context.Context) (string, error) {
	time.Sleep(time.Until(h.until))
	return "token", nil
}

// A worker that is held up must not hide the calls that it could not make.
func TestLoadCountsFromWhenCallsWereDue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var took []time.Duration
		load{workers: 1, period: time.Second, duration: 5 * time.Second}.run(
			held{time.Now().Add(2500 * time.Millisecond)},
			func(c call) { took = append(took, c.took.Round(time.Millisecond)) })
		want := []time.Duration{2500 * time.Millisecond, 1500 * time.Millisecond, 500 * time.Millisecond, 0, 0}
		if !slices.Equal(took, want) {
			t.Errorf("calls took %v, want %v", took, want)
		}
	})
}

func TestLoadSpreadsItsWorkers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var due []time.Duration
		load{workers: 4, period: time.Second, duration: time.Second}.run(held{}, func(c call) { due = append(due, c.due) })
		slices.Sort(due)
		want := []time.Duration{0, 250 * time.Millisecond, 500 * time.Millisecond, 750 * time.Millisecond}
		if !slices.Equal(due, want) {
			t.Errorf("calls were due at %v, want %v", due, want)
		}
	})
}

// mutex holds one around the source, as some libraries do.
type mutex struct {
	mu  sync.Mutex
	src source
}

func (m *mutex) token(ctx context.Context) (string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.src.token(ctx)
}

// slowly takes its time for each token.
type slowly struct{}

func (slowly) token(context.Context) (string, error) {
	time.Sleep(time.Second)
	return "token", nil
}

// In front of a mutex the queue holds callers up as long as the mutex would: one
// after the other. (Without it this test would never end.)
func TestQueueStandsInForAMutex(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := &queue{&mutex{src: slowly{}}, make(chan struct{}, 1)}
		var mu sync.Mutex
		var took []time.Duration
		start := time.Now()
		var callers sync.WaitGroup
		for range 3 {
			callers.Go(func() {
				q.token(t.Context())
				mu.Lock()
				defer mu.Unlock()
				took = append(took, time.Since(start))
			})
		}
		callers.Wait()
		if want := []time.Duration{time.Second, 2 * time.Second, 3 * time.Second}; !slices.Equal(took, want) {
			t.Errorf("callers waited %v, want %v", took, want)
		}
	})
}

func TestEndpointFailsForAsLongAsItIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &endpoint{latency: time.Second, lifetime: time.Hour, outageFrom: 2, outageFor: 3 * time.Second}
		var failed []bool
		for range 6 {
			_, _, err := e.fetch(t.Context())
			if err != nil && !errors.Is(err, errUnavailable) {
				t.Fatal(err)
			}
			failed = append(failed, err != nil)
		}
		if want := []bool{false, true, true, true, false, false}; !slices.Equal(failed, want) {
			t.Errorf("failed: %v, want %v", failed, want)
		}
		if began, restored := e.outageSeen(); restored.Sub(began) != 4*time.Second {
			t.Errorf("the first token came %v after the outage began, want 4s", restored.Sub(began))
		}
	})
}

func TestLatency(t *testing.T) {
	took := make([]time.Duration, 1000)
	for i := range took {
		took[len(took)-1-i] = time.Duration(i) * time.Millisecond
	}
	if got, want := latencyOf(took), (latency{500, 990, 999}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	if got := latencyOf(nil); got != (latency{}) {
		t.Errorf("of no calls: %+v", got)
	}
}

func TestNumber(t *testing.T) {
	for v, want := range map[float64]string{
		0: "0", 1: "1", -3: "-3", 62: "62", 1234567: "1,234,567", 1234.5: "1,235", 99.96: "100.0", 12.34: "12.3",
		.456: "0.46", .0556: "0.056", -12.5: "-12.5", -1500: "-1,500",
	} {
		if got := number(v); got != want {
			t.Errorf("number(%v) = %q, want %q", v, got, want)
		}
	}
}

func TestDuration(t *testing.T) {
	for ms, want := range map[float64]string{-5: "0", 0: "0", .25: "0.25 ms", 50: "50 ms", 999: "999 ms", 2500: "2.50 s", 215050: "215 s"} {
		if got := duration(ms); got != want {
			t.Errorf("duration(%v) = %q, want %q", ms, got, want)
		}
	}
}
