package main

import (
	"context"
	"fmt"
	"io"
	"runtime"
	"strings"
	"sync/atomic"
	"time"
)

// Tenants is what many caches cost, each with a token of its own.
type Tenants struct {
	Library    string  `json:"library"`
	Caches     int     `json:"caches"`
	Bytes      float64 `json:"bytes_each"` // its token of 32 bytes included
	Goroutines float64 `json:"goroutines_each"`
}

const tokenBytes = 32

// live is what the heap holds after everything unreachable is gone.
func live() (bytes uint64, goroutines int) {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC() // what finalizers and pools held back
	runtime.ReadMemStats(&m)
	return m.HeapAlloc, runtime.NumGoroutine()
}

// tenants measures n caches that were used once and then left alone.
func tenants(l library, n int) (Tenants, error) {
	var issued atomic.Int64
	issue := func(context.Context) (string, time.Time, error) { // it remembers nothing
		return fmt.Sprintf("%0*d", tokenBytes, issued.Add(1)), time.Now().Add(24 * time.Hour), nil
	}
	row, caches := Tenants{Library: l.name, Caches: n}, make([]source, n)
	bytesBefore, goroutinesBefore := live()
	for i := range caches {
		caches[i] = l.open(issue)
		if _, err := caches[i].token(context.Background()); err != nil {
			return row, err
		}
	}
	for i := 0; i < 100 && runtime.NumGoroutine() > goroutinesBefore; i++ {
		time.Sleep(time.Millisecond) // the last flight's may still be on their way out
	}
	bytes, goroutines := live()
	row.Bytes = (float64(bytes)-float64(bytesBefore))/float64(n) - float64(l.adapter)
	row.Goroutines = float64(goroutines-goroutinesBefore) / float64(n)
	for _, cache := range caches {
		if c, ok := cache.(io.Closer); ok {
			c.Close()
		}
	}
	return row, nil
}

// isOurs tells the rows of this library.
func isOurs(name string) bool { return strings.HasPrefix(name, tokensourceLibrary.name) }
