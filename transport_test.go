package tokensource_test

// What the Transport adds to a request, to which, and how long it waits for it.
// Where the token may go stands in transport_redirect_test.go, what a 401 leads
// to in transport_retry_test.go, http.RoundTripper's contract in
// transport_contract_test.go.

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/oauth2"

	"github.com/tokensource-go/tokensource"
)

// baseFunc is a Base without a network. It closes the request's body, as every
// http.RoundTripper must.
type baseFunc func(*http.Request) (*http.Response, error)

func (f baseFunc) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Body != nil {
		defer req.Body.Close()
	}
	return f(req)
}

// inProcess serves requests without a listener, so that a synctest bubble can
// wait for them.
func inProcess(h http.Handler) baseFunc {
	return func(req *http.Request) (*http.Response, error) {
		served := *req
		if served.Body == nil {
			served.Body = http.NoBody
		}
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, &served)
		resp := rec.Result()
		resp.Request = req
		return resp, nil
	}
}

// sourceFunc is a source that takes no context.
type sourceFunc func() (*oauth2.Token, error)

func (f sourceFunc) Token() (*oauth2.Token, error) { return f() }

// deaf takes a context and ignores it.
type deaf struct{ oauth2.TokenSource }

func (d deaf) TokenContext(context.Context) (*oauth2.Token, error) { return d.Token() }

// countedBody counts how often a request's body is closed.
type countedBody struct {
	io.Reader
	closed atomic.Int32
}

func (b *countedBody) Close() error {
	b.closed.Add(1)
	return nil
}

// golang/oauth2#262: a 50 ms request against a 700 ms token endpoint came back
// after 700 ms.
func TestTransportWaitsNoLongerThanTheRequest(t *testing.T) {
	const patience, endpoint = 50 * time.Millisecond, 700 * time.Millisecond
	sources := []struct {
		name string
		from func(*scriptedSource) oauth2.TokenSource
	}{
		{"cache", func(s *scriptedSource) oauth2.TokenSource { return &tokensource.Cache{Source: s} }},
		{"cache around a source without context", func(s *scriptedSource) oauth2.TokenSource { return &tokensource.Cache{Source: contextless{s}} }},
		{"synchronous cache", func(s *scriptedSource) oauth2.TokenSource { return &tokensource.Cache{Source: s, Synchronous: true} }},
		{"source with a context", func(s *scriptedSource) oauth2.TokenSource { return s }},
		{"source without context", func(s *scriptedSource) oauth2.TokenSource { return contextless{s} }},
		{"source that ignores its context", func(s *scriptedSource) oauth2.TokenSource { return deaf{contextless{s}} }},
		{"x/oauth2's cache", func(s *scriptedSource) oauth2.TokenSource { return oauth2.ReuseTokenSource(nil, s) }},
	}
	ends := []struct {
		name string
		want error
		ctx  func(context.Context) (context.Context, context.CancelFunc)
	}{
		{"deadline", context.DeadlineExceeded, func(ctx context.Context) (context.Context, context.CancelFunc) {
			return context.WithTimeout(ctx, patience)
		}},
		{"cancellation", context.Canceled, func(ctx context.Context) (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancel(ctx)
			time.AfterFunc(patience, cancel)
			return ctx, cancel
		}},
		{"cancellation with a cause of its own", context.Canceled, func(ctx context.Context) (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancelCause(ctx)
			stop := func() { cancel(errors.New("the user left")) }
			time.AfterFunc(patience, stop)
			return ctx, stop
		}},
	}
	for _, source := range sources {
		for _, end := range ends {
			t.Run(source.name+"/"+end.name, func(t *testing.T) {
				// The bubble fails if a goroutine is left at its end.
				synctest.Test(t, func(t *testing.T) {
					tr := &tokensource.Transport{
						Source: source.from(&scriptedSource{latency: endpoint}),
						Base: baseFunc(func(*http.Request) (*http.Response, error) {
							t.Error("sent without a token")
							return nil, errors.ErrUnsupported
						}),
					}
					ctx, stop := end.ctx(t.Context())
					defer stop()
					body := &countedBody{Reader: strings.NewReader("hello")}
					req, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://api.example/", body)
					if err != nil {
						t.Fatal(err)
					}
					start := time.Now()
					_, err = tr.RoundTrip(req)
					if waited := time.Since(start); waited != patience {
						t.Errorf("waited %v, want %v", waited, patience)
					}
					if e := asError(t, err); !errors.Is(e, end.want) {
						t.Errorf("error = %v, want one around %v", e, end.want)
					}
					if n := body.closed.Load(); n != 1 {
						t.Errorf("body closed %d times, want 1", n)
					}
					time.Sleep(2 * endpoint)
				})
			})
		}
	}
}

// A caller that has left must not cost the next one the token that it asked
// for.
func TestTransportNextRequestGetsTheTokenThatTheLastDidNotWaitFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := &scriptedSource{latency: 700 * time.Millisecond}
		client := &http.Client{
			Timeout: 500 * time.Millisecond,
			Transport: &tokensource.Transport{
				Source: &tokensource.Cache{Source: contextless{source}},
				Base:   inProcess(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})),
			},
		}
		if _, err := client.Get("https://api.example/"); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("error = %v, want a timeout", err)
		}
		resp, err := client.Get("https://api.example/")
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		wantCalls(t, source, 1)
	})
}

func TestTransportAuthorizationHeader(t *testing.T) {
	for _, tt := range []struct {
		name   string
		typ    string
		url    string // credentials in it
		header http.Header
		want   string
	}{
		{name: "token without a type", want: "Bearer abc"},
		{name: "bearer in lower case", typ: "bearer", want: "Bearer abc"},
		{name: "another type", typ: "DPoP", want: "DPoP abc"},
		{name: "header set by the caller", header: http.Header{"Authorization": {"Basic own"}}, want: "Basic own"},
		{name: "header set by the caller in lower case", header: http.Header{"authorization": {"Basic own"}}, want: "Basic own"},
		{name: "credentials in the URL", url: "user:pass@", want: "Basic dXNlcjpwYXNz"},
		{name: "other headers", header: http.Header{"Accept": {"a", "b"}}, want: "Bearer abc"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var got []string
			server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				got = r.Header.Values("Authorization")
			}))
			defer server.Close()
			req, err := http.NewRequest(http.MethodGet, strings.Replace(server.URL, "://", "://"+tt.url, 1), nil)
			if err != nil {
				t.Fatal(err)
			}
			if tt.header != nil {
				req.Header = tt.header
			}
			source := oauth2.StaticTokenSource(&oauth2.Token{AccessToken: "abc", TokenType: tt.typ})
			resp, err := (&http.Client{Transport: &tokensource.Transport{Source: source}}).Do(req)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if len(got) != 1 || got[0] != tt.want {
				t.Errorf("Authorization = %q, want only %q", got, tt.want)
			}
		})
	}
}

// A request that needs no token must not wait for one or fail over it.
func TestTransportExplicitHeaderNeedsNoToken(t *testing.T) {
	req := httptest.NewRequest(http.MethodGet, "http://api.example/", nil)
	req.Header.Set("Authorization", "Basic own")
	api := &api{rejects: func(string) bool { return true }}
	tr := &tokensource.Transport{
		Source: sourceFunc(func() (*oauth2.Token, error) { return nil, errors.New("asked in vain") }),
		Base:   inProcess(api),
	}
	resp, err := tr.RoundTrip(req)
	if err != nil || resp.StatusCode != http.StatusUnauthorized {
		t.Fatal(resp, err)
	}
	if len(api.calls) != 1 {
		t.Errorf("the caller's own credentials were sent %d times, want once: their 401 is the caller's", len(api.calls))
	}
}

func TestTransportSourceThatGivesNoToken(t *testing.T) {
	broken := errors.New("broken")
	for _, tt := range []struct {
		name   string
		source oauth2.TokenSource
		want   string
	}{
		{"no source", nil, "Source is not set"},
		{"cache without a source", &tokensource.Cache{}, "Source is not set"},
		{"error", sourceFunc(func() (*oauth2.Token, error) { return nil, broken }), "broken"},
		{"neither token nor error", sourceFunc(func() (*oauth2.Token, error) { return nil, nil }), "neither a token nor an error"},
		{"empty token", sourceFunc(func() (*oauth2.Token, error) { return &oauth2.Token{}, nil }), "neither a token nor an error"},
		{"panic", sourceFunc(func() (*oauth2.Token, error) { panic("out of cheese") }), "out of cheese"},
		{"panic in a source with a context", &scriptedSource{reply: func(int) (*oauth2.Token, error) { panic("out of cheese") }}, "out of cheese"},
		{"Goexit", sourceFunc(func() (*oauth2.Token, error) { runtime.Goexit(); return nil, nil }), "Goexit"},
	} {
		for name, ctx := range map[string]context.Context{"for ever": context.Background(), "cancellable": t.Context()} {
			t.Run(tt.name+"/"+name, func(t *testing.T) {
				body := &countedBody{Reader: strings.NewReader("hello")}
				req, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://api.example/", body)
				if err != nil {
					t.Fatal(err)
				}
				tr := &tokensource.Transport{Source: tt.source, Base: baseFunc(func(*http.Request) (*http.Response, error) {
					t.Error("sent without a token")
					return nil, errors.ErrUnsupported
				})}
				done := make(chan error)
				go func() {
					err := errors.New("the caller's goroutine was ended")
					defer func() {
						if v := recover(); v != nil {
							err = fmt.Errorf("the caller was taken along: %v", v)
						}
						done <- err
					}()
					_, err = tr.RoundTrip(req)
				}()
				if e := asError(t, <-done); !strings.Contains(e.Error(), tt.want) {
					t.Errorf("error = %v, want one with %q", e, tt.want)
				}
				if n := body.closed.Load(); n != 1 {
					t.Errorf("body closed %d times, want 1", n)
				}
			})
		}
	}
}
