package tokensource

// Allocations of the paths that every request takes.

import (
	"net/http"
	"testing"
	"time"

	"golang.org/x/oauth2"
)

type noBase struct{ resp *http.Response }

func (b noBase) RoundTrip(*http.Request) (*http.Response, error) { return b.resp, nil }

func TestAllocations(t *testing.T) {
	source := oauth2.StaticTokenSource(&oauth2.Token{AccessToken: "abc", Expiry: time.Now().Add(time.Hour)})
	cache := &Cache{Source: source}
	defer cache.Close()
	base := noBase{&http.Response{StatusCode: http.StatusOK, Body: http.NoBody}}
	get := func(headers ...string) *http.Request {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://api.example/path", nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, h := range headers {
			req.Header.Set(h, "value")
		}
		return req
	}
	roundTrip := func(tr *Transport, req *http.Request) func() error {
		return func() error {
			_, err := tr.RoundTrip(req)
			return err
		}
	}
	for _, tt := range []struct {
		name string
		most float64
		f    func() error
	}{
		{"Cache.Token: the caller's copy", 1, func() error {
			_, err := cache.Token()
			return err
		}},
		{"Cache.get: the Transport's share", 0, func() error {
			_, err := cache.get(t.Context())
			return err
		}},
		{"Transport: request, header and its values", 4, roundTrip(
			&Transport{Source: cache, Base: base}, get("Accept", "Content-Type", "User-Agent"))},
		{"Transport with Origins", 3, roundTrip(
			&Transport{Source: cache, Base: base, Origins: []string{"https://other.example", "https://api.example"}}, get("Accept"))},
		{"Transport, no headers yet", 3, roundTrip(&Transport{Source: cache, Base: base}, get())},
	} {
		t.Run(tt.name, func(t *testing.T) {
			n := testing.AllocsPerRun(100, func() {
				if err := tt.f(); err != nil {
					t.Fatal(err)
				}
			})
			if n > tt.most {
				t.Errorf("%v allocations, want at most %v", n, tt.most)
			}
		})
	}
}
