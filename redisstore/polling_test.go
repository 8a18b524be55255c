//go:build unix

package redisstore_test

// What processes that wait for another one's token cost Redis.

import (
	"context"
	"fmt"
	"math/rand/v2"
	"regexp"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/tokensource-go/tokensource"
	"github.com/tokensource-go/tokensource/redisstore"
	"github.com/tokensource-go/tokensource/redisstore/internal/redistest"
)

// stat returns a number of a section of INFO.
func stat(t testing.TB, admin *redis.Client, section, pattern string) float64 {
	t.Helper()
	info, err := admin.Info(context.Background(), section).Result()
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(pattern).FindStringSubmatch(info)
	if m == nil {
		return 0
	}
	n, err := strconv.ParseFloat(m[1], 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

const (
	sent   = `cmdstat_evalsha:calls=(\d+)` // by clients
	cpuSys = `used_cpu_sys:([\d.]+)`
	cpuUsr = `used_cpu_user:([\d.]+)`
)

// A poll is a look at the entry and then at the lock.
func poll(ctx context.Context, s *redisstore.Store) error {
	if _, _, err := s.Load(ctx, key); err != tokensource.ErrNotFound {
		return fmt.Errorf("Load = %w, want ErrNotFound", err)
	}
	if _, _, err := s.TryLock(ctx, key); err != tokensource.ErrLocked {
		return fmt.Errorf("TryLock = %w, want ErrLocked", err)
	}
	return nil
}

func TestOneCommandPerPoll(t *testing.T) {
	server, admin, s := start(t)
	if !server.Real() {
		t.Log("not counted: miniredis has no statistics")
		return
	}
	_, unlock, err := s.TryLock(t.Context(), key)
	must(t, err)
	defer unlock()
	waiting := &redisstore.Store{Client: s.Client}
	must(t, poll(t.Context(), waiting)) // has Redis know the script
	must(t, admin.ConfigResetStat(t.Context()).Err())
	const polls = 20
	for range polls {
		must(t, poll(t.Context(), waiting))
	}
	// The holder may have renewed its lease meanwhile; a busy machine may let a look grow old.
	if n := stat(t, admin, "commandstats", sent); n < polls || n > polls+polls/4 {
		t.Errorf("%v commands for %d polls, want one for each", n, polls)
	}
	// A look does not tell what became of the lock since: it is asked next time.
	_, _, err = waiting.Load(t.Context(), key)
	if err != tokensource.ErrNotFound {
		t.Fatal(err)
	}
	unlock()
	lockSoon(t, waiting)()
}

// BenchmarkWaiting has processes poll as a Cache does that waits for long: every
// 0.4 to 0.5 s, each time with a look at a shared failure. A process is a Store; a hundred share a client.
func BenchmarkWaiting(b *testing.B) {
	for _, processes := range []int{50, 1000, 5000} {
		b.Run(fmt.Sprint(processes), func(b *testing.B) {
			server := redistest.Start(b)
			if !server.Real() {
				b.Skip("miniredis has no statistics")
			}
			admin := server.Client()
			defer admin.Close()
			ctx, cancel := context.WithCancel(b.Context())
			defer cancel()
			_, unlock, err := (&redisstore.Store{Client: admin}).TryLock(ctx, key)
			if err != nil {
				b.Fatal(err)
			}
			defer unlock()
			var wg sync.WaitGroup
			var polls atomic.Int64
			var client *redis.Client
			for i := range processes {
				if i%100 == 0 {
					client = server.Client()
					defer client.Close()
				}
				s := &redisstore.Store{Client: client}
				wg.Go(func() {
					for {
						select {
						case <-time.After(400*time.Millisecond + rand.N(100*time.Millisecond)):
						case <-ctx.Done():
							return
						}
						if err := poll(ctx, s); err != nil && ctx.Err() == nil {
							b.Error(err)
							return
						}
						s.Load(ctx, key+"-failure") // what the holder may have failed with
						polls.Add(1)
					}
				})
			}
			cpu := func() float64 { return stat(b, admin, "cpu", cpuSys) + stat(b, admin, "cpu", cpuUsr) }
			<-time.After(time.Second)
			commands, used, began, polled := stat(b, admin, "commandstats", sent), cpu(), time.Now(), polls.Load()
			for b.Loop() {
				<-time.After(time.Second)
			}
			took := time.Since(began).Seconds()
			b.ReportMetric((stat(b, admin, "commandstats", sent)-commands)/took, "commands/s")
			b.ReportMetric(float64(polls.Load()-polled)/took, "polls/s")
			b.ReportMetric(100*(cpu()-used)/took, "cpu%")
			cancel()
			wg.Wait()
		})
	}
}
