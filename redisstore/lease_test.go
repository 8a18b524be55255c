//go:build unix

package redisstore_test

// Who loses the refresh lock, and what they notice of it.

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/tokensource-go/tokensource"
	"github.com/tokensource-go/tokensource/redisstore"
)

// Who flushes Redis, or puts something else in the lock's place, takes the lock
// away: the holder hears of it with the next renewal.
func TestLostLease(t *testing.T) {
	for name, fault := range map[string]func(ctx context.Context, admin *redis.Client) error{
		"flushed": func(ctx context.Context, admin *redis.Client) error { return admin.FlushAll(ctx).Err() },
		"another's lock": func(ctx context.Context, admin *redis.Client) error {
			return admin.Set(ctx, "tokensource:{"+key+"}:lock", "another's", lease).Err()
		},
		"another type": func(ctx context.Context, admin *redis.Client) error {
			name := "tokensource:{" + key + "}:lock"
			return errors.Join(admin.Del(ctx, name).Err(), admin.LPush(ctx, name, "junk").Err())
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, admin, s := start(t)
			held, unlock, err := s.TryLock(t.Context(), key)
			must(t, err)
			defer unlock()
			began := time.Now()
			must(t, fault(t.Context(), admin))
			// The fence: also before the holder knows.
			if err := s.Save(held, key, []byte("late"), time.Hour); err == nil || !strings.Contains(err.Error(), "lease of the refresh lock was lost") {
				t.Errorf("Save without the lease = %v", err)
			}
			<-held.Done()
			if took := time.Since(began); took > lease/2 {
				t.Errorf("held ended after %v, want about a third of %v", took, lease)
			}
			if cause := context.Cause(held); !strings.Contains(cause.Error(), "lease of the refresh lock was lost") {
				t.Errorf("held ended for %v", cause)
			}
			if _, _, err := s.Load(t.Context(), key); err != tokensource.ErrNotFound {
				t.Errorf("Load = %v, want ErrNotFound", err)
			}
		})
	}
}

// No renewal gets through: held ends before Redis gives the lock to another,
// and a command that gets through afterwards does no harm.
func TestHangingServerEndsTheLease(t *testing.T) {
	server, admin, s := start(t)
	held, unlock, err := s.TryLock(t.Context(), key)
	must(t, err)
	began := time.Now()
	server.Pause(t)
	ctx, cancel := context.WithTimeout(held, 50*time.Millisecond)
	defer cancel()
	if err := s.Save(ctx, key, []byte("sent but not answered"), time.Hour); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Save = %v, want the context's error", err)
	}
	<-held.Done()
	if took := time.Since(began); took > lease+lease/4 {
		t.Errorf("held ended after %v, want %v", took, lease)
	}
	unlock() // must not hang
	if took := time.Since(began); took > lease+2*time.Second {
		t.Errorf("unlock returned after %v", took)
	}
	server.Resume(t)
	if server.Real() { // miniredis' clock stands still while it is paused
		must(t, admin.Ping(t.Context()).Err())
		if value, _, err := s.Load(t.Context(), key); err != tokensource.ErrNotFound {
			t.Errorf("the lost lease still saved %q, %v", value, err)
		}
	}
	lockSoon(t, s)()
}

// lockSoon waits for the lock.
func lockSoon(t *testing.T, s *redisstore.Store) (unlock func()) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	late := time.After(10 * lease)
	for {
		_, unlock, err := s.TryLock(t.Context(), key)
		if err == nil {
			return unlock
		}
		select {
		case <-tick.C:
		case <-late:
			t.Fatalf("TryLock: still %v", err)
		}
	}
}

// A lock that is obtained when its caller has gone is given back.
func TestAbandonedTryLock(t *testing.T) {
	server, _, s := start(t)
	s.Lease = time.Hour
	lockSoon(t, s)() // has Redis know the script, else the command is sent in two steps
	server.Pause(t)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, _, err := s.TryLock(ctx, key); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("TryLock = %v, want the context's error", err)
	}
	server.Resume(t)
	lockSoon(t, s)()
}

// A look at the entry sees the lock of its own handle, too: it must not hide that
// the lock was given back since.
func TestOwnLockIsFreeOnceGivenBack(t *testing.T) {
	_, _, s := start(t)
	for range 20 {
		_, unlock, err := s.TryLock(t.Context(), key)
		must(t, err)
		if _, _, err := s.Load(t.Context(), key); err != tokensource.ErrNotFound {
			t.Fatalf("Load = %v, want ErrNotFound", err)
		}
		unlock()
	}
}
