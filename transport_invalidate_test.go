package tokensource_test

// What the Transport tells its source about a token that was rejected, and what
// that costs the token endpoint.

import (
	"context"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/oauth2"

	"github.com/tokensource-go/tokensource"
)

// invalidated is a source that notes what it is told.
type invalidated struct {
	scriptedSource
	tokens []string
}

func (s *invalidated) Invalidate(tok *oauth2.Token) { s.tokens = append(s.tokens, tok.AccessToken) }

func TestTransportInvalidatesWhatItSent(t *testing.T) {
	for _, tt := range []struct {
		name   string
		status int
		header http.Header
		url    string
		want   []string
	}{
		{"401", 401, nil, "https://api.example/", []string{"token-1"}},
		{"403", 403, nil, "https://api.example/", nil},
		{"407", 407, nil, "https://api.example/", nil},
		{"500", 500, nil, "https://api.example/", nil},
		{"401 to the caller's own header", 401, http.Header{"Authorization": {"Bearer own"}}, "https://api.example/", nil},
		{"401 to a request without the token", 401, nil, "https://other.example/", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			source := new(invalidated)
			tr := &tokensource.Transport{
				Source: source,
				Base: inProcess(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
					w.WriteHeader(tt.status)
				})),
				Origins: []string{"https://api.example"},
			}
			req := httptest.NewRequest(http.MethodGet, tt.url, nil)
			req.Header = tt.header
			if tt.url != "https://api.example/" { // where the API redirected
				req.Response = &http.Response{Request: httptest.NewRequest(http.MethodGet, "https://api.example/", nil)}
			}
			resp, err := tr.RoundTrip(req)
			if err != nil || resp.StatusCode != tt.status {
				t.Fatal(resp, err)
			}
			if !slices.Equal(source.tokens, tt.want) {
				t.Errorf("invalidated %q, want %q", source.tokens, tt.want)
			}
		})
	}
}

// kubernetes#99324: 401s that came late expired the newer token. Here the same
// token is rejected 50 times, at once and long after its replacement came.
func TestTransportManyRejectionsOneFetch(t *testing.T) {
	for name, spread := range map[string]time.Duration{"at once": 0, "late": 50 * time.Millisecond} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var mu sync.Mutex
				late := 100 * time.Millisecond
				a := &api{rejects: rejects("token-1"), delay: func(string) time.Duration {
					mu.Lock()
					defer mu.Unlock()
					late += spread
					return late
				}}
				source := &scriptedSource{latency: 500 * time.Millisecond}
				client := &http.Client{Transport: &tokensource.Transport{
					Source: &tokensource.Cache{Source: source},
					Base:   inProcess(a),
				}}
				postAtOnce(t, client, 50)
				wantCalls(t, source, 2)
				if len(a.calls) != 100 || slices.ContainsFunc(a.calls, func(c apiCall) bool { return c.body != "hello" }) {
					t.Errorf("API was sent %d requests, want 100, each with its body", len(a.calls))
				}
			})
		})
	}
}

// An API that answers 401 to everything: the callers see just that, and the
// token endpoint is not asked for each of their requests.
func TestTransportEveryTokenIsRejected(t *testing.T) {
	const duration = 5 * time.Minute
	synctest.Test(t, func(t *testing.T) {
		source := &scriptedSource{latency: 50 * time.Millisecond}
		cache := &tokensource.Cache{Source: source}
		defer cache.Close()
		a := &api{rejects: func(string) bool { return true }}
		client := &http.Client{Transport: &tokensource.Transport{Source: cache, Base: inProcess(a)}}
		ctx, stop := context.WithTimeout(t.Context(), duration)
		defer stop()
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				for ; ctx.Err() == nil; time.Sleep(100 * time.Millisecond) {
					resp, err := client.Get("https://api.example/")
					if err != nil || resp.StatusCode != http.StatusUnauthorized {
						t.Error(resp, err)
					}
				}
			})
		}
		wg.Wait()
		// 1, 2, 4, 8, 16 and then 30 s apart, each a fifth less at most.
		if n := len(source.calls()); n < 10 || n > 18 {
			t.Errorf("%d token requests for %d rejected ones in %v, want 10 to 18", n, len(a.calls), duration)
		}
	})
}
