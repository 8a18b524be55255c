package tokensource_test

// Layers above the Transport: one that caches its Cache's tokens, which may have
// come through a Store, and one that hides where a redirect chain has been.

import (
	"context"
	"net/http"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/oauth2"

	"github.com/tokensource-go/tokensource"
	"github.com/tokensource-go/tokensource/sandbox"
)

// cached is a member's client with x/oauth2's cache above. sent is what its
// requests carried in the end.
func (f *fleet) cached(t *testing.T, m *member) (client *http.Client, sent *[]string) {
	sent = new([]string)
	below := &http.Client{Transport: &tokensource.Transport{Source: m.Cache, Base: baseFunc(func(req *http.Request) (*http.Response, error) {
		*sent = append(*sent, req.Header.Get("Authorization"))
		return f.RoundTrip(req)
	})}}
	return oauth2.NewClient(context.WithValue(t.Context(), oauth2.HTTPClient, below), m.Cache), sent
}

func (f *fleet) wantAPI(t *testing.T, client *http.Client) {
	t.Helper()
	resp, err := client.Get(f.APIURL(sandbox.Blink))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("status %d", resp.StatusCode)
	}
}

func TestTransportAdoptsATokenFromTheStore(t *testing.T) {
	for _, tt := range []struct {
		name string
		// first happens once the loaded token was sent by a layer that goes on
		// with it.
		first    func(t *testing.T, f *fleet, fetcher *member)
		rejected int
	}{
		{"revoked", func(_ *testing.T, f *fleet, _ *member) { f.Revoke(sandbox.Blink) }, 1},
		{"revoked, and replaced by the other process", func(t *testing.T, f *fleet, fetcher *member) {
			f.Revoke(sandbox.Blink)
			tok, err := fetcher.Token()
			if err != nil {
				t.Fatal(err)
			}
			fetcher.Invalidate(tok)
			if _, err := fetcher.Token(); err != nil {
				t.Fatal(err)
			}
			synctest.Wait() // it is saved
		}, 1},
		{"replaced in time", func(_ *testing.T, _ *fleet, _ *member) { time.Sleep(28 * time.Minute) }, 0},
	} {
		inBubble(t, tt.name, func(t *testing.T) {
			f := newFleet(t, 2)
			fetcher, loader := f.members[0], f.members[1]
			f.wantSame(t, lookAgain)
			if fetcher.count(tokensource.EventLoaded) > 0 {
				fetcher, loader = loader, fetcher
			}
			client, sent := f.cached(t, loader)
			f.wantAPI(t, client)
			loaded := (*sent)[0]
			tt.first(t, f, fetcher)
			*sent = nil
			for range 3 {
				f.wantAPI(t, client)
			}
			f.wantRequests(t, 2)
			if got := f.Ledger()[sandbox.Blink].Rejected; got != tt.rejected {
				t.Errorf("%d requests were rejected, want %d", got, tt.rejected)
			}
			if old := slices.Index(*sent, loaded); len(*sent) != 3+tt.rejected || old >= tt.rejected {
				t.Errorf("the old token went out with request %d of %d", old, len(*sent))
			}
		})
	}
}

// hiding is a layer, such as a recorder, whose responses do not say what they
// are to.
type hiding struct{ http.RoundTripper }

func (h hiding) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := h.RoundTripper.RoundTrip(req)
	if err == nil {
		resp.Request = nil
	}
	return resp, err
}

func TestTransportUnderALayerThatHidesTheChain(t *testing.T) {
	const home, away = "https://home.example/", "https://away.test/"
	for _, tt := range []struct {
		name string
		hops []string
	}{
		{"away", []string{home, away}},
		{"away and back home", []string{home, away, home}},
		{"home, for all that can be seen", []string{home, home + "next"}},
	} {
		for origins, list := range map[string][]string{"any first origin": nil, "origins": {"https://home.example"}} {
			t.Run(tt.name+"/"+origins, func(t *testing.T) {
				w := newWorld(t)
				w.hops = tt.hops
				client := &http.Client{Transport: hiding{&tokensource.Transport{Source: new(scriptedSource), Base: w, Origins: list}}}
				resp, err := client.Get(tt.hops[0])
				if err != nil {
					t.Fatal(err)
				}
				resp.Body.Close()
				want := append([]string{"Bearer token-1"}, make([]string, len(tt.hops)-1)...)
				if !slices.Equal(w.tokens, want) {
					t.Errorf("sent %q, want the token with the first request only", w.tokens)
				}
			})
		}
	}
}
