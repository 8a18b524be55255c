package tokensource_test

// What a 401 leads to: the token is invalidated, the request sent once more
// with another.

import (
	"bytes"
	"context"
	"errors"
	"fmt"
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
)

// api is a protected API. It answers 401 to the tokens that it rejects and
// notes what it was sent.
type api struct {
	rejects func(token string) bool
	delay   func(token string) time.Duration // before a 401

	mu    sync.Mutex
	calls []apiCall
}

type apiCall struct{ token, body string }

func (a *api) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		body = []byte(err.Error())
	}
	token := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	a.mu.Lock()
	a.calls = append(a.calls, apiCall{token, string(body)})
	a.mu.Unlock()
	if a.rejects(token) {
		if a.delay != nil {
			time.Sleep(a.delay(token)) // in a bubble
		}
		w.WriteHeader(http.StatusUnauthorized)
		fmt.Fprint(w, "rejected ", token)
	}
}

func rejects(tokens ...string) func(string) bool {
	return func(token string) bool { return slices.Contains(tokens, token) }
}

// postAtOnce makes n requests, all of which must succeed.
func postAtOnce(t *testing.T, client *http.Client, n int) {
	t.Helper()
	var wg sync.WaitGroup
	for range n {
		wg.Go(func() {
			resp, err := client.Post("https://api.example/", "text/plain", strings.NewReader("hello"))
			if err != nil || resp.StatusCode != http.StatusOK {
				t.Error(resp, err)
			}
		})
	}
	wg.Wait()
}

// azure-sdk-for-go#23597: the replay went out with an empty body.
func TestTransportReplay(t *testing.T) {
	for _, tt := range []struct {
		name    string
		body    io.Reader
		change  func(*http.Request)
		noRetry bool
		rejects func(string) bool
		status  int
		want    []apiCall
	}{
		{
			name: "no body", rejects: rejects("token-1"),
			status: 200, want: []apiCall{{"token-1", ""}, {"token-2", ""}},
		},
		{
			name: "http.NoBody", body: http.NoBody, rejects: rejects("token-1"),
			status: 200, want: []apiCall{{"token-1", ""}, {"token-2", ""}},
		},
		{
			name: "body is sent again", body: strings.NewReader("hello"), rejects: rejects("token-1"),
			status: 200, want: []apiCall{{"token-1", "hello"}, {"token-2", "hello"}},
		},
		{
			name: "large body is sent again", body: bytes.NewReader(bytes.Repeat([]byte("x"), 1<<20)), rejects: rejects("token-1"),
			status: 200, want: []apiCall{{"token-1", strings.Repeat("x", 1<<20)}, {"token-2", strings.Repeat("x", 1<<20)}},
		},
		{
			name: "stream cannot be sent again", body: io.MultiReader(strings.NewReader("hello")), rejects: rejects("token-1"),
			status: 401, want: []apiCall{{"token-1", "hello"}},
		},
		{
			name: "GetBody fails", body: strings.NewReader("hello"), rejects: rejects("token-1"),
			change: func(req *http.Request) {
				req.GetBody = func() (io.ReadCloser, error) { return nil, errors.New("file is gone") }
			},
			status: 401, want: []apiCall{{"token-1", "hello"}},
		},
		{
			name: "NoRetry", noRetry: true, rejects: rejects("token-1"),
			status: 401, want: []apiCall{{"token-1", ""}},
		},
		{
			name: "second 401 is returned as it is", rejects: rejects("token-1", "token-2"),
			status: 401, want: []apiCall{{"token-1", ""}, {"token-2", ""}},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := &api{rejects: tt.rejects}
			server := httptest.NewServer(a)
			defer server.Close()
			source := new(scriptedSource)
			client := &http.Client{Transport: &tokensource.Transport{Source: &tokensource.Cache{Source: source}, NoRetry: tt.noRetry}}
			req, err := http.NewRequest(http.MethodPost, server.URL, tt.body)
			if err != nil {
				t.Fatal(err)
			}
			if tt.change != nil {
				tt.change(req)
			}
			resp, err := client.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			if resp.StatusCode != tt.status {
				t.Errorf("status %d, want %d", resp.StatusCode, tt.status)
			}
			if !slices.Equal(a.calls, tt.want) {
				t.Errorf("API was sent %.200q, want %.200q", a.calls, tt.want)
			}
			if tt.status != http.StatusUnauthorized {
				return
			}
			body, err := io.ReadAll(resp.Body)
			if want := "rejected " + tt.want[len(tt.want)-1].token; err != nil || string(body) != want {
				t.Errorf("body = %q, %v; want %q", body, err, want)
			}
			// The rejected token is not tried again, whether or not the
			// request was.
			a.calls = nil
			if resp, err = client.Get(server.URL); err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if len(a.calls) == 0 || a.calls[0].token == "token-1" {
				t.Errorf("the next request brought %q", a.calls)
			}
		})
	}
}

// trufflehog#5315: the retry reused the cached token. If there is no other
// token there is nothing to retry.
func TestTransportReplaysNeverTheSameToken(t *testing.T) {
	for name, source := range map[string]oauth2.TokenSource{
		"static token":     oauth2.StaticTokenSource(&oauth2.Token{AccessToken: "token-1"}),
		"x/oauth2's cache": oauth2.ReuseTokenSource(nil, new(scriptedSource)),
		"cache around a static token": &tokensource.Cache{
			Source: oauth2.StaticTokenSource(&oauth2.Token{AccessToken: "token-1"}),
		},
	} {
		t.Run(name, func(t *testing.T) {
			a := &api{rejects: rejects("token-1")}
			server := httptest.NewServer(a)
			defer server.Close()
			client := &http.Client{Transport: &tokensource.Transport{Source: source}}
			resp, err := client.Post(server.URL, "text/plain", strings.NewReader("hello"))
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			body, err := io.ReadAll(resp.Body)
			if err != nil || resp.StatusCode != http.StatusUnauthorized || string(body) != "rejected token-1" {
				t.Errorf("%d %q, %v; want the 401", resp.StatusCode, body, err)
			}
			if want := []apiCall{{"token-1", "hello"}}; !slices.Equal(a.calls, want) {
				t.Errorf("API was sent %q, want %q", a.calls, want)
			}
		})
	}
}

// The API's answer says more than that its replacement could not be had.
func TestTransportReplayWithoutAToken(t *testing.T) {
	refused := failing(2, always, errRefusal, time.Hour)
	for name, source := range map[string]oauth2.TokenSource{
		"cache":                  &tokensource.Cache{Source: &scriptedSource{reply: refused}},
		"source with a context":  &scriptedSource{reply: refused},
		"source without context": contextless{&scriptedSource{reply: refused}},
		"source that panics": contextless{&scriptedSource{reply: func(call int) (*oauth2.Token, error) {
			if call > 1 {
				panic("out of cheese")
			}
			return tokenNo(call), nil
		}}},
	} {
		t.Run(name, func(t *testing.T) {
			a := &api{rejects: rejects("token-1")}
			server := httptest.NewServer(a)
			defer server.Close()
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL, strings.NewReader("hello"))
			if err != nil {
				t.Fatal(err)
			}
			again, opened := &countedBody{Reader: strings.NewReader("hello")}, int32(0)
			req.GetBody = func() (io.ReadCloser, error) {
				opened++
				return again, nil
			}
			resp, err := (&tokensource.Transport{Source: source}).RoundTrip(req)
			if err != nil {
				t.Fatalf("error = %v, want the 401", err)
			}
			defer resp.Body.Close()
			body, err := io.ReadAll(resp.Body)
			if err != nil || resp.StatusCode != http.StatusUnauthorized || string(body) != "rejected token-1" {
				t.Errorf("%d %q, %v; want the 401 and its body", resp.StatusCode, body, err)
			}
			if n := again.closed.Load(); n != opened {
				t.Errorf("the body for the replay was opened %d times and closed %d times", opened, n)
			}
		})
	}
}

func TestTransportSingleUseToken(t *testing.T) {
	for name, source := range map[string]func(*tokensource.Flinks) oauth2.TokenSource{
		"provider": func(f *tokensource.Flinks) oauth2.TokenSource { return f },
		"cache":    func(f *tokensource.Flinks) oauth2.TokenSource { return &tokensource.Cache{Source: f} },
		"x/oauth2's cache": func(f *tokensource.Flinks) oauth2.TokenSource {
			return oauth2.ReuseTokenSource(nil, f)
		},
	} {
		t.Run(name, func(t *testing.T) {
			numbers := new(scriptedSource)
			flinks := &tokensource.Flinks{
				Credentials: tokensource.StaticCredentials("id", "secret"),
				BaseURL:     "https://api.example",
				HTTPClient: &http.Client{Transport: inProcess(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					tok, err := numbers.TokenContext(r.Context())
					if err != nil {
						t.Error(err)
						return
					}
					fmt.Fprintf(w, `{"access_token": %q, "token_type": "bearer", "expires_in": 299}`, tok.AccessToken)
				}))},
			}
			var presented sync.Map // token → struct{}
			a := &api{rejects: func(token string) bool {
				if _, again := presented.LoadOrStore(token, struct{}{}); again {
					t.Errorf("%s was presented twice", token)
				}
				return token == "token-1" // it lapsed early
			}}
			client := &http.Client{Transport: &tokensource.Transport{Source: source(flinks), Base: inProcess(a)}}
			postAtOnce(t, client, 20)
			if issued := len(numbers.calls()); issued != 21 || len(a.calls) != 21 {
				t.Errorf("%d tokens for %d requests, want 21 each: a replay has a token of its own", issued, len(a.calls))
			}
		})
	}
}

// What the Transport tells its source about a token that was rejected, and what
// that costs the token endpoint.

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
