package tokensource_test

// What is whose: requests, headers and responses that others share, and tokens
// of the Transport's own Cache that another layer has set.

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/oauth2"

	"github.com/tokensource-go/tokensource"
	"github.com/tokensource-go/tokensource/sandbox"
)

func ok(*http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody}, nil
}

// A hand-built Transport sent Blink's key, which is in the token, to any first
// origin.
func TestTransportAroundAProviderKeepsToItsOrigin(t *testing.T) {
	blink := &tokensource.Blink{Credentials: tokensource.StaticCredentials("id", "secret")}
	for name, source := range map[string]oauth2.TokenSource{"provider": blink, "cache": &tokensource.Cache{Source: blink}} {
		t.Run(name, func(t *testing.T) {
			tr := &tokensource.Transport{Source: source, Base: baseFunc(func(*http.Request) (*http.Response, error) {
				t.Error("sent")
				return nil, errors.ErrUnsupported
			})}
			_, err := tr.RoundTrip(httptest.NewRequest(http.MethodGet, "https://other.example/", nil))
			if !errors.Is(err, tokensource.ErrOrigin) || !strings.Contains(err.Error(), "https://other.example") {
				t.Errorf("error = %v, want ErrOrigin with the origin", err)
			}
		})
	}
}

func TestTransportChainThatCannotBeSeen(t *testing.T) {
	loop := httptest.NewRequest(http.MethodGet, "https://api.example/", nil)
	loop.Response = &http.Response{Request: loop}
	hidden := httptest.NewRequest(http.MethodGet, "https://api.example/", nil)
	hidden.Response = new(http.Response)
	for name, req := range map[string]*http.Request{"request is its own predecessor": loop, "response without its request": hidden} {
		for origins, list := range map[string][]string{"any first origin": nil, "origins": {"https://api.example"}} {
			t.Run(name+"/"+origins, func(t *testing.T) {
				sent := "nothing"
				tr := &tokensource.Transport{Source: new(scriptedSource), Origins: list, Base: baseFunc(func(req *http.Request) (*http.Response, error) {
					sent = req.Header.Get("Authorization")
					return ok(req)
				})}
				if _, err := tr.RoundTrip(req); err != nil || sent != "" {
					t.Errorf("sent %q, %v; want the request without a token", sent, err)
				}
			})
		}
	}
}

// An Add on a slice with spare capacity mixed requests (37 of 50), a redaction
// in place spoiled the header for all.
func TestTransportBaseThatChangesTheHeader(t *testing.T) {
	shared := append(make([]string, 0, 8), "one")
	header := http.Header{"X-Trace": shared, "X-Two": {"a"}, "X-Three": {"b"}, "X-Nil": nil}
	var mu sync.Mutex
	var sent []string
	base := baseFunc(func(req *http.Request) (*http.Response, error) {
		mu.Lock()
		sent = append(sent, req.Header.Get("Authorization"))
		mu.Unlock()
		for name := range req.Header {
			req.Header.Add(name, req.URL.Path)
			if got := req.Header.Values(name); got[len(got)-1] != req.URL.Path {
				t.Errorf("%s of request %s is %q", name, req.URL.Path, got)
			}
			for i := range req.Header[name] {
				req.Header[name][i] = "redacted"
			}
		}
		return ok(req)
	})
	tr := &tokensource.Transport{Source: &tokensource.Cache{Source: new(scriptedSource)}, Base: base}
	var wg sync.WaitGroup
	for i := range 50 {
		wg.Go(func() {
			req := httptest.NewRequest(http.MethodGet, "https://api.example/"+strings.Repeat("x", i), nil)
			req.Header = header
			if _, err := tr.RoundTrip(req); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if want := slices.Repeat([]string{"Bearer token-1"}, 50); !slices.Equal(sent, want) {
		t.Errorf("sent %q", sent)
	}
	if shared[0] != "one" || len(header) != 4 || header["X-Nil"] != nil {
		t.Errorf("the caller's header is now %v", header)
	}
}

// Run with -race.
func TestTransportBaseThatSharesAResponse(t *testing.T) {
	recorded := httptest.NewRequest(http.MethodGet, "https://recorded.example/", nil)
	for name, from := range map[string]*http.Request{"stub": nil, "replayed record": recorded} {
		t.Run(name, func(t *testing.T) {
			shared := &http.Response{StatusCode: http.StatusOK, Body: http.NoBody, Request: from}
			tr := &tokensource.Transport{Source: &tokensource.Cache{Source: new(scriptedSource)}, Base: baseFunc(func(*http.Request) (*http.Response, error) {
				return shared, nil
			})}
			var wg sync.WaitGroup
			for range 20 {
				wg.Go(func() {
					req := httptest.NewRequest(http.MethodGet, "https://api.example/", nil)
					if resp, err := tr.RoundTrip(req); err != nil || resp.Request != req {
						t.Error(resp, err)
					}
				})
			}
			wg.Wait()
			if shared.Request != from {
				t.Error("the shared response was written to")
			}
		})
	}
}

// Base's own copy of a request made the Transport copy the response, and what
// net/http adds to the original was lost.
func TestTransportKeepsTrailersAndUpgrades(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") != "" {
			conn, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close()
			io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
			io.CopyN(conn, conn, 5)
			return
		}
		http.NewResponseController(w).Flush() // in chunks, so trailers can follow
		w.Header().Set(http.TrailerPrefix+"Status", "fine")
	}))
	defer server.Close()
	for name, base := range map[string]http.RoundTripper{
		"net/http": http.DefaultTransport,
		"base that clones the request": baseFunc(func(req *http.Request) (*http.Response, error) {
			return http.DefaultTransport.RoundTrip(req.Clone(req.Context()))
		}),
	} {
		t.Run(name, func(t *testing.T) {
			tr := &tokensource.Transport{Source: new(scriptedSource), Base: base}
			req, err := http.NewRequest(http.MethodGet, server.URL, nil)
			if err != nil {
				t.Fatal(err)
			}
			resp, err := tr.RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			io.ReadAll(resp.Body)
			resp.Body.Close()
			if resp.Trailer.Get("Status") != "fine" || resp.Request != req {
				t.Errorf("trailer = %v, to %p; want one that was not announced, to %p", resp.Trailer, resp.Request, req)
			}

			req.Header = http.Header{"Connection": {"Upgrade"}, "Upgrade": {"echo"}}
			if resp, err = tr.RoundTrip(req); err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			conn, writes := resp.Body.(io.ReadWriter)
			if !writes {
				t.Fatalf("the body of status %d is a %T, want an io.ReadWriteCloser", resp.StatusCode, resp.Body)
			}
			got := make([]byte, 5)
			io.WriteString(conn, "hello")
			if _, err := io.ReadFull(conn, got); err != nil || string(got) != "hello" {
				t.Errorf("echo = %q, %v", got, err)
			}
		})
	}
}

// locked is a body whose Close waits for its Read. Its mutex is a channel, which
// a bubble's clock does not wait for.
type locked struct{ mutex, silent chan struct{} }

func (b *locked) Read([]byte) (int, error) {
	b.mutex <- struct{}{}
	<-b.silent
	<-b.mutex
	return 0, io.EOF
}

func (b *locked) Close() error {
	b.mutex <- struct{}{}
	<-b.mutex
	return nil
}

func TestTransportDropsABodyWhoseCloseWaitsForItsRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		body := &locked{make(chan struct{}, 1), make(chan struct{})}
		defer close(body.silent)
		tr := &tokensource.Transport{Source: new(scriptedSource), Base: baseFunc(func(req *http.Request) (*http.Response, error) {
			if req.Header.Get("Authorization") == "Bearer token-1" {
				return &http.Response{StatusCode: http.StatusUnauthorized, Body: body, ContentLength: -1}, nil
			}
			return ok(req)
		})}
		start := time.Now()
		resp, err := tr.RoundTrip(httptest.NewRequest(http.MethodGet, "https://api.example/", nil))
		if err != nil || resp.StatusCode != http.StatusOK {
			t.Fatal(resp, err)
		}
		wantBetween(t, "the replay was held up", time.Since(start), 0, 200*time.Millisecond)
	})
}

// A DefaultTransport that is a Transport waited for its own token.
func TestTransportAsTheDefaultTransport(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			io.WriteString(w, `{"access_token": "abc", "expires_in": 600}`)
			return
		}
		io.WriteString(w, r.Header.Get("Authorization"))
	}))
	defer server.Close()
	before := http.DefaultTransport
	defer func() { http.DefaultTransport = before }()
	for name, base := range map[string]http.RoundTripper{"base": before, "no base": nil} {
		t.Run(name, func(t *testing.T) {
			http.DefaultTransport = &tokensource.Transport{Base: base, Source: &tokensource.Cache{
				Source:       &tokensource.Endpoint{URL: server.URL + "/token", Credentials: tokensource.StaticCredentials("id", "secret")},
				FetchTimeout: 5 * time.Second,
			}}
			resp, err := http.Get(server.URL)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			if got, _ := io.ReadAll(resp.Body); string(got) != "Bearer abc" {
				t.Errorf("sent %q", got)
			}
		})
	}
}

// One line of Authorization on the wire, whatever spelling the caller chose: its
// own credentials, or the newest token in the place of one of the Cache's.
func TestTransportAdoptsItsOwnTokens(t *testing.T) {
	cache := &tokensource.Cache{Source: new(scriptedSource)}
	older, err := cache.Token()
	if err != nil {
		t.Fatal(err)
	}
	cache.Invalidate(older)
	if tok, err := cache.Token(); err != nil || tok.AccessToken != "token-2" {
		t.Fatal(tok, err)
	}
	for _, tt := range []struct {
		name   string
		header http.Header
		want   []string
	}{
		{"the current token", http.Header{"Authorization": {"Bearer token-2"}}, []string{"Bearer token-2"}},
		{"a dead one", http.Header{"Authorization": {"Bearer token-1"}}, []string{"Bearer token-2"}},
		{"a dead one in upper case", http.Header{"AUTHORIZATION": {"Bearer token-1"}}, []string{"Bearer token-2"}},
		{"a dead one in mixed case", http.Header{"aUthorization": {"bearer token-1"}}, []string{"Bearer token-2"}},
		{"another's in upper case", http.Header{"AUTHORIZATION": {"Bearer other"}}, []string{"Bearer other"}},
		{"another's in mixed case", http.Header{"aUthorization": {"Basic own"}}, []string{"Basic own"}},
		{"a spelling without a value", http.Header{"AUTHORIZATION": {}}, []string{"Bearer token-2"}},
		{"no token after the scheme", http.Header{"Authorization": {"Bearer "}}, []string{"Bearer"}},
		{"one of its own and another's", http.Header{"Authorization": {"Bearer token-1", "Basic own"}}, []string{"Bearer token-1", "Basic own"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var got []string
			server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				got = r.Header.Values("Authorization")
			}))
			defer server.Close()
			req, err := http.NewRequest(http.MethodGet, server.URL, nil)
			if err != nil {
				t.Fatal(err)
			}
			req.Header = tt.header
			resp, err := (&tokensource.Transport{Source: cache}).RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if !slices.Equal(got, tt.want) {
				t.Errorf("Authorization = %q, want %q", got, tt.want)
			}
		})
	}
}

// Under x/oauth2's cache a revoked token went on being sent until it expired.
func TestTransportUnderOAuth2SurvivesARevocation(t *testing.T) {
	var mu sync.Mutex
	revoked := ""
	a := &api{rejects: func(token string) bool {
		mu.Lock()
		defer mu.Unlock()
		return token == revoked
	}}
	source := &scriptedSource{lifetime: time.Hour}
	cache := &tokensource.Cache{Source: source}
	defer cache.Close()
	below := &http.Client{Transport: &tokensource.Transport{
		Source: cache, Base: inProcess(a), Origins: []string{"https://api.example"},
	}}
	client := oauth2.NewClient(context.WithValue(t.Context(), oauth2.HTTPClient, below), cache)
	postAtOnce(t, client, 1)
	mu.Lock()
	revoked = "token-1"
	mu.Unlock()
	for range 5 {
		postAtOnce(t, client, 1)
	}
	wantCalls(t, source, 2)
	var got []string
	for _, c := range a.calls {
		got = append(got, c.token)
	}
	want := append([]string{"token-1", "token-1"}, slices.Repeat([]string{"token-2"}, 5)...)
	if !slices.Equal(got, want) {
		t.Errorf("API was sent %q, want %q", got, want)
	}
	// x/oauth2 sets the token for any host.
	if _, err := client.Get("https://other.example/"); !errors.Is(err, tokensource.ErrOrigin) {
		t.Errorf("error = %v, want ErrOrigin", err)
	}
}

// What golang.org/x/oauth2 v0.37.0 expects of its own Transport
// (transport_test.go), asked of both: a program that changes over finds the same
// behaviour. Its two tests of Token.Valid are not about a transport.

func TestTransportAsOAuth2(t *testing.T) {
	transports := map[string]func(oauth2.TokenSource) http.RoundTripper{
		"x/oauth2":    func(src oauth2.TokenSource) http.RoundTripper { return &oauth2.Transport{Source: src} },
		"tokensource": func(src oauth2.TokenSource) http.RoundTripper { return &tokensource.Transport{Source: src} },
	}
	unread := errors.New("body was read without a token")
	for _, tt := range []struct {
		name    string
		token   *oauth2.Token // nil: there is no source
		body    io.Reader     // nil: a GET
		want    string        // Authorization header
		refused bool
	}{
		{name: "no source", refused: true},
		{name: "no source: the body is closed", body: failingReader{unread}, refused: true},
		{name: "the body is closed", token: &oauth2.Token{AccessToken: "abc"}, body: failingReader{io.EOF}, want: "Bearer abc"},
		{name: "token", token: &oauth2.Token{AccessToken: "abc"}, want: "Bearer abc"},
		// golang/oauth2#113: some servers tell upper from lower case.
		{name: "bearer", token: &oauth2.Token{AccessToken: "abc", TokenType: "bearer"}, want: "Bearer abc"},
		{name: "mac", token: &oauth2.Token{AccessToken: "abc", TokenType: "mac"}, want: "MAC abc"},
		{name: "basic", token: &oauth2.Token{AccessToken: "abc", TokenType: "basic"}, want: "Basic abc"},
	} {
		for of, transport := range transports {
			t.Run(tt.name+"/"+of, func(t *testing.T) {
				served, got := false, ""
				server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
					served, got = true, r.Header.Get("Authorization")
				}))
				defer server.Close()
				var source oauth2.TokenSource
				if tt.token != nil {
					source = oauth2.StaticTokenSource(tt.token)
				}
				client := &http.Client{Transport: transport(source)}

				var resp *http.Response
				var err error
				body := &countedBody{Reader: tt.body}
				if tt.body == nil {
					resp, err = client.Get(server.URL)
				} else {
					resp, err = client.Post(server.URL, "application/json", body)
				}
				if tt.body != nil && body.closed.Load() != 1 {
					t.Errorf("body closed %d times, want 1", body.closed.Load())
				}
				if tt.refused {
					if err == nil || resp != nil || served {
						t.Errorf("response %v, error %v, sent %v; want an error only", resp, err, served)
					}
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				resp.Body.Close()
				if got != tt.want {
					t.Errorf("Authorization = %q, want %q", got, tt.want)
				}
			})
		}
	}
}

type failingReader struct{ err error }

func (r failingReader) Read([]byte) (int, error) { return 0, r.err }

// Layers above the Transport: one that caches its Cache's tokens, which may have
// come through a Store, and one that hides where a redirect chain has been.

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
