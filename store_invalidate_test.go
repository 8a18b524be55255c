package tokensource_test

// A token that the API rejected, in a fleet that shares it.

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"github.com/tokensource-go/tokensource/sandbox"
)

func TestInvalidateInAFleet(t *testing.T) {
	reject := func(m *member, access string) { m.Invalidate(&oauth2.Token{AccessToken: access}) }
	inBubble(t, "all reject one token: one request", func(t *testing.T) {
		f := newFleet(t, 20)
		first := f.wantSame(t, blinkLatency+lookAgain)
		f.Revoke(sandbox.Blink)
		for _, m := range f.members {
			reject(m, first)
		}
		if f.wantSame(t, blinkLatency+lookAgain) == first {
			t.Error("the rejected token is still in use")
		}
		f.wantRequests(t, 2)
	})
	inBubble(t, "a newer one in the store is used without a request, and stays there", func(t *testing.T) {
		f := newFleet(t, 5)
		first := f.wantSame(t, blinkLatency+lookAgain)
		reject(f.members[0], first)
		next := ask(t.Context(), f.members[0])
		_, saved := f.entry(t)
		for _, m := range f.members[1:] {
			time.Sleep(time.Minute)
			reject(m, first)
			wantToken(t, m, next.access)
		}
		if _, value := f.entry(t); string(value) != string(saved) {
			t.Error("the newer token was replaced in the store")
		}
		f.wantRequests(t, 2)
	})
	inBubble(t, "the rejected one leaves the store even if there is no other", func(t *testing.T) {
		f := newFleet(t, 2)
		first := f.wantSame(t, blinkLatency+lookAgain)
		f.Always(sandbox.Blink, sandbox.Token, sandbox.Fault{Status: http.StatusBadRequest})
		reject(f.members[0], first)
		if a := ask(t.Context(), f.members[0]); a.err == nil {
			t.Fatalf("%+v, want the provider's refusal", a)
		}
		for key := range f.store.Entries() {
			if strings.HasSuffix(key, "-token") {
				t.Error("the rejected token is still in the store")
			}
		}
		wantToken(t, f.members[1], first) // which nobody has rejected there
		if a := ask(t.Context(), f.join(t)); a.err == nil {
			t.Errorf("a new process got %q, which another one saw rejected", a.access)
		}
	})
	inBubble(t, "an older one in the store is no replacement", func(t *testing.T) {
		f := newFleet(t, 2)
		first := f.wantSame(t, blinkLatency+lookAgain)
		m := f.members[0]
		m.store.Before = func(context.Context, string, string) error { return errors.New("cut off") }
		time.Sleep(time.Minute)
		reject(m, first)
		second := ask(t.Context(), m)
		if second.err != nil {
			t.Fatal(second.err)
		}
		m.store.Before = nil
		time.Sleep(time.Minute)
		f.Revoke(sandbox.Blink)
		reject(m, second.access)
		if a := ask(t.Context(), m); a.err != nil || a.access == first {
			t.Errorf("%+v, want a token newer than the rejected one", a)
		}
	})
	inBubble(t, "during a look that finds the lock taken", func(t *testing.T) {
		f := newFleet(t, 1)
		m := f.members[0]
		m.Synchronous = true
		m.store.Before = func(ctx context.Context, _, _ string) error { return pause(ctx, 100*time.Millisecond) }
		first := f.wantSame(t, blinkLatency+lease)
		time.Sleep(time.Second) // and it is saved
		unlock := f.takeLock(t)
		time.Sleep(28 * time.Minute)
		go ask(t.Context(), m)
		time.Sleep(150 * time.Millisecond)
		reject(m, first)
		time.AfterFunc(time.Second, unlock)
		if a := ask(t.Context(), m); a.err != nil || a.access == first {
			t.Errorf("%+v, want another token", a)
		}
	})
}
