package blocks

// What the declarations of the documents do.

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tokensource-go/tokensource"
	"github.com/tokensource-go/tokensource/sandbox"
)

func TestTenants(t *testing.T) {
	world.Reset()
	var mu sync.Mutex
	asked := make(map[string]int)
	tenants := NewTenants(func(tenant string) tokensource.Credentials {
		mu.Lock()
		defer mu.Unlock()
		asked[tenant]++
		return creds
	})
	var callers sync.WaitGroup
	for i := range 30 {
		callers.Go(func() {
			if err := reachesAnAPI(tenants.Client([]string{"a", "b", "c"}[i%3])); err != nil {
				t.Error(err)
			}
		})
	}
	callers.Wait()
	if got := world.Ledger()[sandbox.Blink].TokensIssued; got != 3 || asked["a"] != 1 || asked["b"] != 1 || asked["c"] != 1 {
		t.Errorf("%d tokens, and credentials were made %v times; want one of each for a tenant", got, asked)
	}

	used := tenants.Client("a")
	for i := range 10_000 {
		tenants.Client(fmt.Sprint(i))
	}
	if tenants.Client("a") == used {
		t.Error("the oldest of 10,001 tenants is still there")
	}
	if err := reachesAnAPI(used); err != nil || world.Ledger()[sandbox.Blink].TokensIssued != 3 {
		t.Errorf("a request of an evicted tenant: %v, %d tokens", err, world.Ledger()[sandbox.Blink].TokensIssued)
	}
}

func TestReadiness(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sb := sandbox.NewInProcess(sandbox.Config{})
		cache := &tokensource.Cache{Source: &tokensource.Blink{Credentials: creds, HTTPClient: sb.Client()}}
		want := func(when string, status int, text string) {
			t.Helper()
			before, w := sb.Ledger()[sandbox.Blink].TokenRequests, httptest.NewRecorder()
			ready(cache)(w, httptest.NewRequest("GET", "/readyz", nil))
			if w.Code != status || !strings.Contains(w.Body.String(), text) || sb.Ledger()[sandbox.Blink].TokenRequests != before {
				t.Errorf("%s: got %d %s, want %d %s without a token request", when, w.Code, w.Body, status, text)
			}
		}
		want("at the start", http.StatusServiceUnavailable, "no token")
		ctx, cancel := context.WithCancel(t.Context())
		go keep(ctx, cache)
		time.Sleep(2 * time.Second) // from here on between two of its calls
		want("with a token", http.StatusOK, "")
		time.Sleep(24 * time.Hour)
		want("after an idle day", http.StatusOK, "")
		sb.Always(sandbox.Blink, sandbox.Token, sandbox.Fault{Status: 503})
		time.Sleep(time.Hour)
		want("in an outage", http.StatusServiceUnavailable, "503 Service Unavailable")
		sb.Always(sandbox.Blink, sandbox.Token, sandbox.Fault{})
		time.Sleep(15 * time.Second)
		want("after the outage", http.StatusOK, "")
		cancel()
		time.Sleep(5 * time.Second) // keep ends
		cache.Close()
	})
}
