package main

import (
	"context"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

// Tenants is what many caches cost, each with a token of its own.
type Tenants struct {
	Library string `json:"library"`
	Caches  int    `json:"caches"`

	TokenBytes int     `json:"token_bytes"` // of each access token; counted in Bytes
	Bytes      float64 `json:"bytes_each"`
	Goroutines float64 `json:"goroutines_each"`
	ReadNS     float64 `json:"read_ns"` // of a cache picked at random; 0: not measured
}

const (
	tenantTarget = 600 // bytes of an idle tenant

	shortToken = 32
	longToken  = 1024 // as a JSON web token with a few claims

	lapsedName = "tokensource, lapsed" // the same caches later, their tokens expired

	fewRepeats  = 9        // of few caches, whose bytes are few: their median
	stride      = 15485863 // a prime: visits the caches in an order that no prefetcher foresees
	readsAtMost = 1 << 20
)

// issuer is a token endpoint that remembers nothing.
func issuer(size int, lifetime time.Duration) fetch {
	var issued atomic.Int64
	return func(context.Context) (string, time.Time, error) {
		access := fmt.Sprintf("%0*d", size, issued.Add(1))
		return access, time.Now().Add(lifetime), nil
	}
}

// live is what the heap holds after everything unreachable is gone.
func live() (bytes uint64, goroutines int) {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC() // what finalizers and pools held back
	runtime.ReadMemStats(&m)
	return m.HeapAlloc, runtime.NumGoroutine()
}

// cost is of caches that were used once and then left alone for a while.
func cost(l library, f fetch, n int, alone time.Duration) (bytes, goroutines float64, caches []source, err error) {
	caches = make([]source, n)
	bytesBefore, goroutinesBefore := live()
	for i := range caches {
		caches[i] = l.open(f, 0)
		if _, err := caches[i].token(context.Background()); err != nil {
			return 0, 0, nil, err
		}
	}
	time.Sleep(alone)
	for i := 0; i < 100 && runtime.NumGoroutine() > goroutinesBefore; i++ {
		time.Sleep(time.Millisecond) // the last flight's may still be on their way out
	}
	bytesAfter, goroutinesAfter := live()
	bytes = float64(bytesAfter) - float64(bytesBefore)
	return bytes/float64(n) - float64(l.adapter), float64(goroutinesAfter-goroutinesBefore) / float64(n), caches, nil
}

func tenants(l library, n, tokenBytes int) (Tenants, error) {
	f := issuer(tokenBytes, 24*time.Hour)
	row := Tenants{Library: l.name, Caches: n, TokenBytes: tokenBytes}
	repeats := 1
	if n <= 1000 {
		repeats = fewRepeats
	}
	var bytes []float64
	var all []source
	for range repeats {
		each, goroutines, caches, err := cost(l, f, n, 0)
		if err != nil {
			return row, err
		}
		bytes = append(bytes, each)
		row.Goroutines = goroutines
		if l.noRead == "" {
			if row.ReadNS, err = readAtRandom(caches); err != nil {
				return row, err
			}
		}
		all = append(all, caches...)
	}
	// A pending timer keeps its cache in the heap, and a stopped one for a
	// while: not before the last is measured.
	for _, cache := range all {
		if c, ok := cache.(io.Closer); ok {
			c.Close()
		}
	}
	slices.Sort(bytes)
	row.Bytes = bytes[len(bytes)/2]
	return row, nil
}

func readAtRandom(caches []source) (float64, error) {
	reads := min(max(10*len(caches), 10_000), readsAtMost)
	start := time.Now()
	for i, at := 0, 0; i < reads; i++ {
		if _, err := caches[at].token(context.Background()); err != nil {
			return 0, err
		}
		at = (at + stride) % len(caches)
	}
	return float64(time.Since(start).Nanoseconds()) / float64(reads), nil
}

// lapsed is the cost of caches that were used once, refreshed once in the
// background, and then left alone until that token had expired too. It runs in
// virtual time.
func lapsed(n int) (Tenants, error) {
	const lifetime = rolloverLifetime
	bytes, goroutines, caches, err := cost(tokensourceLibrary, issuer(shortToken, lifetime), n, 3*lifetime)
	runtime.KeepAlive(caches)
	return Tenants{
		Library:    lapsedName,
		Caches:     n,
		TokenBytes: shortToken,
		Bytes:      bytes,
		Goroutines: goroutines,
	}, err
}

// isOurs tells the rows of this library.
func isOurs(name string) bool { return strings.HasPrefix(name, tokensourceLibrary.name) }
