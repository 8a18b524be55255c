package storetest

// What must be true of entries.

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tokensource-go/tokensource"
)

func roundTrip(t testing.TB, open opener) {
	a, b := open(), open()
	key, other := newKey(), newKey()
	wantNone(t, a, key)
	save(t, a, key, []byte("one"))
	wantValue(t, a, key, []byte("one"))
	wantValue(t, b, key, []byte("one"))
	save(t, b, key, []byte("two"))
	wantValue(t, a, key, []byte("two"))
	wantNone(t, a, other)
}

func valuesAsTheyAre(t testing.TB, open opener) {
	s := open()
	every := make([]byte, 256)
	for i := range every {
		every[i] = byte(i)
	}
	for _, value := range [][]byte{
		{}, {0}, []byte(" "), []byte("\n"), []byte("line\r\n"), []byte("\xff\xfe"), []byte("null"),
		every, bytes.Repeat(every, 1<<20/len(every)),
	} {
		key := newKey()
		own := slices.Clone(value)
		save(t, s, key, own)
		clear(own)
		wantValue(t, s, key, value)
		loaded, _, err := s.Load(t.Context(), key)
		if err != nil {
			t.Fatalf("Load: %v", err)
		}
		clear(loaded)
		wantValue(t, s, key, value)
		if err := s.Delete(t.Context(), key, value); err != nil {
			t.Fatalf("Delete: %v", err)
		}
		wantNone(t, s, key)
	}

	// What Load returned is the caller's own.
	kept, next := newKey(), newKey()
	save(t, s, kept, []byte("kept"))
	save(t, s, next, []byte("next"))
	value, _, _ := s.Load(t.Context(), kept)
	another, _, _ := s.Load(t.Context(), next)
	_ = append(value, "overflow"...)
	if string(value) != "kept" || string(another) != "next" {
		t.Fatalf("another Load changed what the first returned: %q, %q", value, another)
	}
}

func compareAndDelete(t testing.TB, open opener) {
	a, b := open(), open()
	key := newKey()
	remove := func(s tokensource.Store, value string) {
		t.Helper()
		if err := s.Delete(t.Context(), key, []byte(value)); err != nil {
			t.Fatalf("Delete: %v", err)
		}
	}
	remove(a, "never there")
	save(t, a, key, []byte("rejected"))
	save(t, b, key, []byte("newer"))
	remove(a, "rejected")
	for _, other := range []string{"", "newe", "newer ", "NEWER", "other"} {
		remove(a, other)
	}
	wantValue(t, a, key, []byte("newer"))
	remove(a, "newer")
	wantNone(t, b, key)
	remove(b, "newer")
}

// deleteIsAtomic rejects a value while another process replaces it, at any
// moment of the Delete: the new one must stay.
func deleteIsAtomic(t testing.TB, open opener) {
	const rounds, deleters = 200, 3
	saver, rejected, newer := open(), []byte("rejected"), []byte("newer")
	var stores []tokensource.Store
	for range deleters {
		stores = append(stores, open())
	}
	remove := func(s tokensource.Store, key string) {
		if err := s.Delete(t.Context(), key, rejected); err != nil {
			t.Errorf("Delete: %v", err)
		}
	}
	var takes time.Duration // one Delete by itself
	for range deleters {
		key := newKey()
		save(t, saver, key, rejected)
		began := time.Now()
		remove(saver, key)
		takes = max(takes, time.Since(began))
	}
	for range rounds {
		key := newKey()
		save(t, saver, key, rejected)
		var wg sync.WaitGroup
		for _, s := range stores {
			wg.Go(func() { remove(s, key) })
		}
		<-time.After(mathrand.N(takes + 1))
		save(t, saver, key, newer)
		wg.Wait()
		if got, _, err := saver.Load(t.Context(), key); err != nil || !bytes.Equal(got, newer) {
			t.Fatalf("a Delete of the value before took the new one with it: Load = %s, %v", brief(got), err)
		}
	}
}

func hostileKeys(t testing.TB, open opener) {
	s := open()
	outside := t.TempDir()
	key, long := newKey(), strings.Repeat("k", 5000)
	keys := []string{
		key, "-", "-rf", "0", strings.Repeat("a1-", 21), // of the interface's characters: never refused
	}
	ordinary := len(keys)
	keys = append(keys,
		"", " ", key+" ", " "+key, ".", "..", key+".", "../"+key, key+"/..", "/", "\\", "..\\"+key,
		filepath.Join(outside, "absolute"), strings.Repeat("../", 40)+filepath.Join(outside, "relative")[1:],
		key+"/"+key, key+"%2F"+key, key+"_"+key, key+":"+key, key+"::"+key,
		"{"+key+"}", "{}"+key, "}"+key+"{", "{", key+"*", key+"?", "["+key+"]",
		key+".lock", key+":lock", key+"-lock", key+".tmp", key+":", "lock:"+key, "."+key,
		strings.ToUpper(key), key+"\x00", "\x00", key+"\x00"+key, key+"\n", key+"\r\n", "\xff", "\xfe",
		"\u00e9"+key, "e\u0301"+key, "\ufeff"+key, "キー"+key, "con", "nul", "~", "$HOME", "$(id)",
		long+"a", long+"b", long,
	)
	value := func(i int) []byte { return fmt.Append(nil, "value ", i) }

	accepted := map[string][]byte{} // key → its value
	for i, key := range keys {
		switch err := s.Save(t.Context(), key, value(i), keep); {
		case err == nil:
			accepted[key] = value(i)
		case i < ordinary:
			t.Errorf("Save under %q: %v", key, err)
		}
	}
	for key, value := range accepted {
		_, unlock := lock(t, t.Context(), s, key)
		defer unlock()
		if got, _, err := s.Load(t.Context(), key); err != nil || !bytes.Equal(got, value) {
			t.Errorf("the key %s collides with another: Load = %q, %v; want %q", brief([]byte(key)), got, err, value)
		}
	}
	for key, value := range accepted {
		if err := s.Delete(t.Context(), key, value); err != nil {
			t.Errorf("Delete under %s: %v", brief([]byte(key)), err)
		}
		wantNone(t, s, key)
	}
	if stray, err := os.ReadDir(outside); err != nil || len(stray) > 0 {
		t.Errorf("a key led out of the store: %v, %v", stray, err)
	}
}

// concurrentEntries has writers of long values and readers that must never see
// a part of one, or two mixed.
func concurrentEntries(t testing.TB, open opener) {
	const writers, turns, size = 6, 10, 64 << 10
	common := newKey()
	ctx := t.Context()
	var wg sync.WaitGroup
	for w := range writers {
		s, own, value := open(), newKey(), bytes.Repeat([]byte{byte('a' + w)}, size)
		wg.Go(func() {
			for range turns {
				err := s.Save(ctx, own, value, keep)
				if got, _, loadErr := s.Load(ctx, own); err != nil || loadErr != nil || !bytes.Equal(got, value) {
					t.Errorf("Save, Load of an entry with one writer = %v, %s, %v", err, brief(got), loadErr)
				}
				got, _, err := s.Load(ctx, common)
				whole := len(got) == size && bytes.Count(got, got[:1]) == size
				if err != nil && !errors.Is(err, tokensource.ErrNotFound) || err == nil && !whole {
					t.Errorf("Load of an entry that others write = %s, %v", brief(got), err)
				}
				if err := s.Save(ctx, common, value, keep); err != nil {
					t.Errorf("Save of an entry that others write: %v", err)
				}
				if err := s.Delete(ctx, common, value); err != nil {
					t.Errorf("Delete of an entry that others write: %v", err)
				}
			}
		})
	}
	wg.Wait()
}

func cancelledContext(t testing.TB, open opener) {
	s, key, value := open(), newKey(), []byte("value")
	save(t, s, key, value)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for name, call := range map[string]func() error{
		"Load":    func() error { _, _, err := s.Load(ctx, key); return err },
		"Save":    func() error { return s.Save(ctx, key, []byte("late"), keep) },
		"Delete":  func() error { return s.Delete(ctx, key, value) },
		"TryLock": func() error { _, _, err := s.TryLock(ctx, key); return err },
	} {
		err := promptly(t, name+" with a cancelled context", call)
		if err == nil || errors.Is(err, tokensource.ErrNotFound) || errors.Is(err, tokensource.ErrLocked) {
			t.Errorf("%s with a cancelled context = %v, want its error", name, err)
		}
	}
	_, unlock := lockSoon(t, s, key, prompt, "after a TryLock with a cancelled context")
	unlock()
}

// brief prints what may be a megabyte.
func brief(value []byte) string {
	const limit = 40
	if len(value) <= limit {
		return fmt.Sprintf("%q", value)
	}
	return fmt.Sprintf("%q... (%d bytes)", value[:limit], len(value))
}
