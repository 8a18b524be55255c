package main

import (
	"context"
	"flag"
	"runtime"
	"sync/atomic"
	"testing"
	"time"
)

// Read is the cost of a token from a cache that has one.
type Read struct {
	Library string `json:"library"`
	NA      string `json:"na,omitempty"` // why there are no figures

	SerialNS   float64 `json:"serial_ns"`
	ParallelNS float64 `json:"parallel_ns"`
	Allocs     int64   `json:"allocs"`
	Bytes      int64   `json:"bytes"`
}

const (
	floorName = "floor" // an atomic load and a look at the clock

	// Who asks a *Cache itself may be spared an allocation by the compiler,
	// who asks an oauth2.TokenSource may not.
	asInterfaceName = "tokensource as an oauth2.TokenSource"
)

// timing is how often and how long each thing is measured. What is compared is
// measured in turn, so that a busy moment of the machine meets all, and the
// fastest of the rounds counts.
type timing struct {
	rounds int
	each   time.Duration
}

func benchmark(each time.Duration, f func(b *testing.B)) testing.BenchmarkResult {
	if err := flag.Set("test.benchtime", each.String()); err != nil {
		panic(err) // testing.Init was not called
	}
	runtime.GC()
	return testing.Benchmark(f)
}

// nanoseconds of one operation, 0 where nothing was measured.
func nanoseconds(r testing.BenchmarkResult) float64 {
	return float64(r.T.Nanoseconds()) / float64(max(r.N, 1))
}

// lasting is a token endpoint for what is over before a token expires.
func lasting(context.Context) (string, time.Time, error) {
	return "the-access-token-of-the-benchmark", time.Now().Add(24 * time.Hour), nil
}

// floor is the least that any cache can do.
type floor struct {
	current atomic.Pointer[floorToken]
}

type floorToken struct {
	access string
	expiry int64
}

func newFloor() *floor {
	access, expiry, _ := lasting(context.Background())
	f := &floor{}
	f.current.Store(&floorToken{access, expiry.UnixNano()})
	return f
}

func (f *floor) token(context.Context) (string, error) {
	if t := f.current.Load(); time.Now().UnixNano() < t.expiry {
		return t.access, nil
	}
	return "", context.DeadlineExceeded
}

func reads(plan timing) []Read {
	rows := []Read{{Library: floorName}}
	sources := []source{newFloor()}
	for _, l := range libraries() {
		rows = append(rows, Read{Library: l.name, NA: l.noRead})
		sources = append(sources, l.open(lasting))
		if isOurs(l.name) {
			rows = append(rows, Read{Library: asInterfaceName})
			sources = append(sources, oauth2Source{newCache(lasting)})
		}
	}
	ctx := context.Background()
	serial := func(src source) func(b *testing.B) {
		return func(b *testing.B) {
			for b.Loop() {
				if _, err := src.token(ctx); err != nil {
					b.Fatal(err)
				}
			}
		}
	}
	parallel := func(src source) func(b *testing.B) {
		return func(b *testing.B) {
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if _, err := src.token(ctx); err != nil {
						b.Error(err)
					}
				}
			})
		}
	}
	measure := func(of func(source) func(b *testing.B), put func(*Read, testing.BenchmarkResult)) {
		for i, result := range inTurn(plan, len(rows), func(i int) testing.BenchmarkResult {
			if rows[i].NA != "" {
				return testing.BenchmarkResult{}
			}
			return benchmark(plan.each, of(sources[i]))
		}) {
			put(&rows[i], result)
		}
	}
	measure(serial, func(r *Read, result testing.BenchmarkResult) {
		r.SerialNS, r.Allocs, r.Bytes = nanoseconds(result), result.AllocsPerOp(), result.AllocedBytesPerOp()
	})
	measure(parallel, func(r *Read, result testing.BenchmarkResult) { r.ParallelNS = nanoseconds(result) })
	return rows
}

// inTurn measures n things in rounds, and returns each thing's fastest one: least
// else ran on the machine then.
func inTurn(plan timing, n int, measure func(i int) testing.BenchmarkResult) []testing.BenchmarkResult {
	best := make([]testing.BenchmarkResult, n)
	for round := range plan.rounds {
		for i := range best {
			if r := measure(i); round == 0 || nanoseconds(r) < nanoseconds(best[i]) {
				best[i] = r
			}
		}
	}
	return best
}
