package tokensource_test

// What the Transport adds to a request, how long it waits for it, and
// http.RoundTripper's contract; then which origins may have the token, what it
// takes for its own, and what a 401 leads to.

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/oauth2"

	"github.com/tokensource-go/tokensource"
	"github.com/tokensource-go/tokensource/sandbox"
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
		for name, ctx := range map[string]context.Context{"without an end": context.Background(), "cancellable": t.Context()} {
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

// http.RoundTripper's contract: the request is the caller's, its body is
// closed.

// Exactly once.
func TestTransportClosesTheBody(t *testing.T) {
	ended, end := context.WithCancel(t.Context())
	end()
	token := oauth2.StaticTokenSource(&oauth2.Token{AccessToken: "abc"})
	closed := &tokensource.Cache{Source: token}
	closed.Close()
	fine := baseFunc(func(*http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody}, nil
	})
	broken := baseFunc(func(*http.Request) (*http.Response, error) { return nil, errors.New("connection reset") })
	for _, tt := range []struct {
		name   string
		tr     *tokensource.Transport
		change func(*http.Request)
		fails  bool
	}{
		{"no source", &tokensource.Transport{Base: fine}, nil, true},
		{"token error", &tokensource.Transport{Source: &scriptedSource{reply: failing(1, always, errRefusal, 0)}, Base: fine}, nil, true},
		{"no token", &tokensource.Transport{Source: sourceFunc(func() (*oauth2.Token, error) { return nil, nil }), Base: fine}, nil, true},
		{"closed cache", &tokensource.Transport{Source: closed, Base: fine}, nil, true},
		{"malformed origin", &tokensource.Transport{Source: token, Base: fine, Origins: []string{"api.example"}}, nil, true},
		{"context ended", &tokensource.Transport{Source: &tokensource.Cache{Source: token}, Base: fine}, func(req *http.Request) {
			*req = *req.WithContext(ended)
		}, true},
		{"plain http", &tokensource.Transport{Source: token, Base: fine}, func(req *http.Request) { req.URL.Scheme = "http" }, true},
		{"no URL", &tokensource.Transport{Source: token}, func(req *http.Request) { req.URL = nil }, true},
		{"base error", &tokensource.Transport{Source: token, Base: broken}, nil, true},
		{"base error to an origin that may not have it", &tokensource.Transport{Source: token, Base: broken, Origins: []string{"https://other.example"}}, nil, true},
		{"sent", &tokensource.Transport{Source: token, Base: fine}, nil, false},
		{"to an origin that may not have it", &tokensource.Transport{Source: token, Base: fine, Origins: []string{"https://other.example"}}, nil, true},
		{"sent with the caller's own header", &tokensource.Transport{Base: fine}, func(req *http.Request) {
			req.Header.Set("Authorization", "Basic own")
		}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			body := &countedBody{Reader: strings.NewReader("hello")}
			req, err := http.NewRequest(http.MethodPost, "https://api.example/", body)
			if err != nil {
				t.Fatal(err)
			}
			if tt.change != nil {
				tt.change(req)
			}
			if _, err = tt.tr.RoundTrip(req); (err != nil) != tt.fails {
				t.Errorf("error = %v, want one: %v", err, tt.fails)
			}
			if n := body.closed.Load(); n != 1 {
				t.Errorf("body closed %d times, want 1", n)
			}
		})
	}
}

// Run with -race: callers may hold on to a request, and send one without a body
// several times at once.
func TestTransportLeavesTheRequestAlone(t *testing.T) {
	a := &api{rejects: rejects("token-1")}
	server := httptest.NewServer(a)
	defer server.Close()
	for _, tt := range []struct {
		name string
		from *http.Response
	}{
		{"with a token and a replay", nil},
		{"in a chain that cannot be seen", new(http.Response)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tr := &tokensource.Transport{Source: &tokensource.Cache{Source: new(scriptedSource)}, Origins: []string{server.URL}}
			req, err := http.NewRequest(http.MethodPut, server.URL+"/path?q=1#f", http.NoBody)
			if err != nil {
				t.Fatal(err)
			}
			req.Header = http.Header{"X-One": {"a", "b"}, "x-raw": {"c"}}
			req.GetBody = nil // funcs do not compare
			req.Response = tt.from
			before, header, u := *req, req.Header.Clone(), *req.URL
			var wg sync.WaitGroup
			for range 8 {
				wg.Go(func() {
					resp, err := tr.RoundTrip(req)
					if err != nil {
						t.Error(err)
						return
					}
					defer resp.Body.Close()
					if resp.Request != req {
						t.Error("the response's Request is not the caller's")
					}
				})
			}
			wg.Wait()
			if !reflect.DeepEqual(*req, before) || !reflect.DeepEqual(req.Header, header) || *req.URL != u {
				t.Errorf("request is now %+v, was %+v", *req, before)
			}
		})
	}
}

// golang/oauth2#779: a nil Header panicked.
func TestTransportNilHeader(t *testing.T) {
	for name, from := range map[string]*http.Response{"with a token": nil, "in a chain that cannot be seen": new(http.Response)} {
		t.Run(name, func(t *testing.T) {
			var sent http.Header
			tr := &tokensource.Transport{
				Source: oauth2.StaticTokenSource(&oauth2.Token{AccessToken: "abc"}),
				Base: inProcess(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
					sent = maps.Clone(r.Header)
				})),
			}
			req := &http.Request{Method: http.MethodGet, URL: &url.URL{Scheme: "https", Host: "api.example"}, Response: from}
			if _, err := tr.RoundTrip(req); err != nil {
				t.Fatal(err)
			}
			want := ""
			if from == nil {
				want = "Bearer abc"
			}
			if got := sent.Get("Authorization"); got != want || req.Header != nil {
				t.Errorf("sent %q, want %q; the caller's header is %v, want nil", got, want, req.Header)
			}
		})
	}
}

// Response.Request ends up in logs and, in a redirect chain, is read for where
// the chain has been.
func TestTransportResponseRequest(t *testing.T) {
	for _, rejected := range []string{"none", "token-1", "every"} {
		for name, hidden := range map[string]bool{"net/http": false, "base whose response has no Request": true} {
			t.Run(rejected+" rejected/"+name, func(t *testing.T) {
				server := httptest.NewServer(&api{rejects: func(token string) bool {
					return token == rejected || rejected == "every"
				}})
				defer server.Close()
				client := &http.Client{Transport: &tokensource.Transport{
					Source: new(scriptedSource),
					Base: baseFunc(func(req *http.Request) (*http.Response, error) {
						resp, err := http.DefaultTransport.RoundTrip(req)
						if hidden {
							resp.Request = nil
						}
						return resp, err
					}),
				}}
				req, err := http.NewRequest(http.MethodGet, server.URL, nil)
				if err != nil {
					t.Fatal(err)
				}
				resp, err := client.Do(req)
				if err != nil {
					t.Fatal(err)
				}
				resp.Body.Close()
				if resp.Request != req || req.Header.Get("Authorization") != "" {
					t.Errorf("response is to %+v, want the caller's request, without a token", resp.Request)
				}
			})
		}
	}
}

// A stub in a user's test leaves out what a real server never would. http.Client
// puts up with it, so must we.
func TestTransportSparseResponse(t *testing.T) {
	for _, tt := range []struct {
		name string
		resp *http.Response
		want string
	}{
		{"no response and no error", nil, "nil *Response"},
		{"401 without a body", &http.Response{StatusCode: http.StatusUnauthorized}, ""},
		{"200 without a body", &http.Response{StatusCode: http.StatusOK}, ""},
		{"a record without a body", &http.Response{StatusCode: http.StatusOK, Request: new(http.Request)}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			client := &http.Client{Transport: &tokensource.Transport{
				Source: new(scriptedSource),
				Base:   baseFunc(func(*http.Request) (*http.Response, error) { return tt.resp, nil }),
			}}
			defer func() {
				if v := recover(); v != nil {
					t.Errorf("panic: %v", v)
				}
			}()
			resp, err := client.Get("https://api.example/")
			if err == nil {
				io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
			}
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("error = %v, want %q", err, tt.want)
			}
		})
	}
}

// idleCloser is a Base that counts.
type idleCloser struct {
	baseFunc
	closed int
}

func (b *idleCloser) CloseIdleConnections() { b.closed++ }

// apm-agent-go#455: idle connections were never closed.
func TestTransportCloseIdleConnections(t *testing.T) {
	base := new(idleCloser)
	(&http.Client{Transport: &tokensource.Transport{Base: base}}).CloseIdleConnections()
	if base.closed != 1 {
		t.Errorf("passed on %d times, want 1", base.closed)
	}
	(&http.Client{Transport: &tokensource.Transport{Base: base.baseFunc}}).CloseIdleConnections() // has none to close

	server := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	closed := make(chan struct{})
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateClosed {
			close(closed)
		}
	}
	server.Start()
	defer server.Close()
	client := &http.Client{Transport: &tokensource.Transport{Source: new(scriptedSource), Base: new(http.Transport)}}
	resp, err := client.Get(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	client.CloseIdleConnections()
	select {
	case <-closed:
	case <-time.After(10 * time.Second):
		t.Error("the connection is still open")
	}
}

// A 401 that the replay replaces: nothing else will read or close it.

// It is drained where that costs little, so that its connection serves the
// replay; else it is closed.
func TestTransportDropsTheFirst401(t *testing.T) {
	zeros := make([]byte, 32<<10)
	endless := func(w http.ResponseWriter, _ *http.Request) {
		for range 64 << 20 / len(zeros) {
			if _, err := w.Write(zeros); err != nil {
				return
			}
		}
		t.Error("64 MiB were read")
	}
	drip := func(w http.ResponseWriter, r *http.Request) {
		w.Write(zeros[:1])
		http.NewResponseController(w).Flush()
		<-r.Context().Done() // the connection or the stream is closed
	}
	for _, tt := range []struct {
		name   string
		http2  bool
		header http.Header
		body   http.HandlerFunc
		conns  int32
	}{
		{"no body", false, nil, func(http.ResponseWriter, *http.Request) {}, 1},
		{"small body", false, nil, func(w http.ResponseWriter, _ *http.Request) { w.Write(zeros[:1000]) }, 1},
		{"small body in chunks", false, nil, func(w http.ResponseWriter, _ *http.Request) {
			w.Write(zeros[:500])
			http.NewResponseController(w).Flush()
			w.Write(zeros[:500])
		}, 1},
		{"huge body", false, http.Header{"Content-Length": {"1000000000"}}, endless, 2},
		{"huge body of unknown length", false, nil, endless, 2},
		{"slow drip", false, nil, drip, 2},
		{"slow drip, compressed", false, http.Header{"Content-Encoding": {"gzip"}}, func(w http.ResponseWriter, r *http.Request) {
			z := gzip.NewWriter(w)
			z.Write(zeros[:1])
			z.Flush()
			http.NewResponseController(w).Flush()
			<-r.Context().Done()
		}, 2},
		{"huge body over HTTP/2", true, nil, endless, 1},
		{"slow drip over HTTP/2", true, nil, drip, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var conns atomic.Int32
			server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if tt.http2 != (r.ProtoMajor == 2) {
					t.Errorf("served over %s", r.Proto)
				}
				if r.Header.Get("Authorization") == "Bearer token-1" {
					maps.Copy(w.Header(), tt.header)
					w.WriteHeader(http.StatusUnauthorized)
					tt.body(w, r)
				}
			}))
			server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
				if state == http.StateNew {
					conns.Add(1)
				}
			}
			server.EnableHTTP2 = tt.http2
			server.StartTLS()
			defer server.Close()
			ctx, stop := context.WithTimeout(t.Context(), 10*time.Second)
			defer stop()
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, server.URL, nil)
			if err != nil {
				t.Fatal(err)
			}
			tr := &tokensource.Transport{Source: new(scriptedSource), Base: server.Client().Transport}
			resp, err := tr.RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if resp.StatusCode != http.StatusOK || conns.Load() != tt.conns {
				t.Errorf("status %d over %d connections, want 200 over %d", resp.StatusCode, conns.Load(), tt.conns)
			}
		})
	}
}

// The same in virtual time: how long a replay is held up.
func TestTransportDropsTheFirst401InTime(t *testing.T) {
	const most = 100 * time.Millisecond
	synctest.Test(t, func(t *testing.T) {
		silent, server := io.Pipe()
		tr := &tokensource.Transport{
			Source: new(scriptedSource),
			Base: baseFunc(func(req *http.Request) (*http.Response, error) {
				if req.Header.Get("Authorization") == "Bearer token-1" {
					return &http.Response{StatusCode: 401, Body: silent, ContentLength: 100}, nil
				}
				return &http.Response{StatusCode: 200, Body: http.NoBody}, nil
			}),
		}
		start := time.Now()
		resp, err := tr.RoundTrip(httptest.NewRequest(http.MethodGet, "https://api.example/", nil))
		if err != nil || resp.StatusCode != http.StatusOK {
			t.Fatal(resp, err)
		}
		if held := time.Since(start); held > most {
			t.Errorf("held up for %v, want at most %v", held, most)
		}
		if _, err := server.Write([]byte("late")); !errors.Is(err, io.ErrClosedPipe) {
			t.Errorf("the 401's body was not closed: %v", err)
		}
	})
}

// world is two real servers, one for https and one for http (port 80), that
// stand for every host there is. A request to /n is redirected to the nth URL
// of hops; tokens holds what each request brought along.
type world struct {
	*http.Transport
	status int
	hops   []string
	tokens []string
}

func newWorld(t *testing.T) *world {
	w := &world{status: http.StatusFound}
	handler := http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w.tokens = append(w.tokens, r.Header.Get("Authorization"))
		if len(w.tokens) < len(w.hops) {
			rw.Header().Set("Location", w.hops[len(w.tokens)])
			rw.WriteHeader(w.status)
		}
	})
	encrypted, clear := httptest.NewTLSServer(handler), httptest.NewServer(handler)
	t.Cleanup(encrypted.Close)
	t.Cleanup(clear.Close)
	trusted := x509.NewCertPool()
	trusted.AddCert(encrypted.Certificate())
	w.Transport = &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: trusted, ServerName: "example.com"},
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			server := encrypted
			if strings.HasSuffix(addr, ":80") {
				server = clear
			}
			return new(net.Dialer).DialContext(ctx, network, server.Listener.Addr().String())
		},
	}
	t.Cleanup(w.CloseIdleConnections)
	return w
}

func TestTransportOrigins(t *testing.T) {
	for _, tt := range []struct {
		name    string
		origins []string
		url     string
		want    bool
	}{
		{"any first origin by default", nil, "https://any.example/path", true},
		{"the one", []string{"https://api.example"}, "https://api.example/path", true},
		{"one of several", []string{"https://a.example", "https://api.example"}, "https://api.example/", true},
		{"another host", []string{"https://api.example"}, "https://other.example/", false},
		{"subdomain", []string{"https://api.example"}, "https://evil.api.example/", false},
		{"parent domain", []string{"https://api.example.com"}, "https://example.com/", false},
		{"the name as a prefix", []string{"https://api.example"}, "https://api.example.evil.test/", false},
		{"the name as a suffix", []string{"https://api.example"}, "https://notapi.example/", false},
		{"the name as a user", []string{"https://api.example"}, "https://api.example@evil.test/", false},
		{"the name in the path", []string{"https://api.example"}, "https://evil.test/https://api.example/", false},
		{"upper case in the list", []string{"HTTPS://API.Example"}, "https://api.example/", true},
		{"upper case in the request", []string{"https://api.example"}, "https://API.EXAMPLE/", true},
		{"default port in the list", []string{"https://api.example:443"}, "https://api.example/", true},
		{"default port in the request", []string{"https://api.example"}, "https://api.example:443/", true},
		{"another port in the request", []string{"https://api.example"}, "https://api.example:8443/", false},
		{"another port in the list", []string{"https://api.example:8443"}, "https://api.example/", false},
		{"the port that is listed", []string{"https://api.example:8443"}, "https://api.example:8443/", true},
		{"https port of http", []string{"http://127.0.0.1:443"}, "http://127.0.0.1/", false},
		{"http port by default", []string{"http://127.0.0.1:80"}, "http://127.0.0.1/", true},
		{"another scheme", []string{"https://127.0.0.1"}, "http://127.0.0.1/", false},
		// Spellings that net/http dials alike.
		{"empty port in the list", []string{"https://api.example:"}, "https://api.example/", true},
		{"port with a zero in front", []string{"https://api.example:0443"}, "https://api.example/", true},
		{"trailing dot in the list", []string{"https://api.example."}, "https://api.example/", true},
		{"trailing dot in the request", []string{"https://api.example"}, "https://api.example./", true},
		{"punycode in the list", []string{"https://xn--bcher-kva.example"}, "https://bücher.example/", true},
		{"punycode in the request", []string{"https://bücher.example"}, "https://xn--bcher-kva.example/", true},
		{"Unicode in upper case", []string{"https://bücher.example"}, "https://BÜCHER.example/", true},
		{"IPv6 in full", []string{"https://[2001:DB8:0:0:0:0:0:1]"}, "https://[2001:db8::1]/", true},
		{"IPv6 zone", []string{"https://[fe80::1%25eth0]"}, "https://[fe80::1%25eth0]/", true},
		{"another IPv6 zone", []string{"https://[fe80::1%25eth0]"}, "https://[fe80::1%25ETH0]/", false},
		// Names that Unicode folds into one, and IDNA does not.
		{"sharp s, small and capital", []string{"https://straße.example"}, "https://straẞe.example/", false},
		{"sharp s and ss", []string{"https://straße.example"}, "https://strasse.example/", false},
		{"final sigma", []string{"https://σας.example"}, "https://σασ.example/", false},
		{"IPv6", []string{"https://[2001:db8::1]"}, "https://[2001:db8::1]:443/", true},
		{"another IPv6 that ends alike", []string{"https://[2001:db8::1]"}, "https://[::1]/", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w, source := newWorld(t), new(scriptedSource)
			tr := &tokensource.Transport{Source: source, Base: w, Origins: tt.origins}
			req, err := http.NewRequest(http.MethodGet, tt.url, nil)
			if err != nil {
				t.Fatal(err)
			}
			resp, err := tr.RoundTrip(req)
			if !tt.want {
				e := asError(t, err)
				if !errors.Is(e, tokensource.ErrOrigin) || e.Temporary() || !strings.Contains(e.Error(), req.URL.Scheme+"://") ||
					!strings.Contains(e.Error(), "Transport's Origins") {
					t.Errorf("error = %v, want ErrOrigin that names the origin and how to allow it", e)
				}
				if len(w.tokens) != 0 {
					t.Errorf("sent %q, want nothing", w.tokens)
				}
				wantCalls(t, source, 0)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if !slices.Equal(w.tokens, []string{"Bearer token-1"}) {
				t.Errorf("sent %q, want the token", w.tokens)
			}
		})
	}
}

// An entry that matches nothing would silently leave every request without a
// token, one that matches too much would leak it.
func TestTransportMalformedOrigin(t *testing.T) {
	for name, origin := range map[string]string{
		"empty":           "",
		"host only":       "api.example",
		"host and port":   "api.example:443",
		"scheme only":     "https://",
		"no scheme":       "://api.example",
		"trailing slash":  "https://api.example/",
		"path":            "https://api.example/v1",
		"query":           "https://api.example?x",
		"fragment":        "https://api.example#x",
		"credentials":     "https://user:hunter2@api.example",
		"wildcard":        "https://*.api.example",
		"trailing space":  "https://api.example ",
		"leading space":   " https://api.example",
		"port not number": "https://api.example:https",
		"port too large":  "https://api.example:65536",
		"empty label":     "https://.api.example",
		"only a dot":      "https://.",
		"no IDN":          "https://a\u00ad_ü.example",
		"bare zone":       "https://[fe80::1%eth0]",
		"plain http":      "http://api.example",
	} {
		t.Run(name, func(t *testing.T) {
			body := &countedBody{Reader: strings.NewReader("hello")}
			req := httptest.NewRequest(http.MethodPost, "https://api.example/", body)
			w := newWorld(t)
			tr := &tokensource.Transport{Source: new(scriptedSource), Base: w, Origins: []string{"https://api.example", origin}}
			_, err := tr.RoundTrip(req)
			text := asError(t, err).Error()
			if !strings.Contains(text, "Origins") || !strings.Contains(text, "entry 1") ||
				!strings.Contains(text, "scheme://host[:port]") && name != "plain http" {
				t.Fatalf("error = %s, want one that says what an origin looks like", text)
			}
			if strings.Contains(text, "hunter2") {
				t.Errorf("error shows a secret: %s", text)
			}
			if len(w.tokens) != 0 || body.closed.Load() != 1 {
				t.Errorf("%d requests sent, body closed %d times; want 0 and 1", len(w.tokens), body.closed.Load())
			}
		})
	}
}

func TestTransportRefusesPlainHTTP(t *testing.T) {
	for _, tt := range []struct {
		host string
		want error
	}{
		{"127.0.0.1", nil},
		{"127.8.8.8", nil},
		{"[::1]", nil},
		{"localhost", nil},
		{"LocalHost", nil},
		{"api.example", tokensource.ErrInsecure},
		{"10.0.0.1", tokensource.ErrInsecure},
		{"0.0.0.0", tokensource.ErrInsecure},
		{"[fe80::1]", tokensource.ErrInsecure},
		{"127.0.0.1.api.example", tokensource.ErrInsecure},
		{"localhost.api.example", tokensource.ErrInsecure},
		{"notlocalhost", tokensource.ErrInsecure},
	} {
		t.Run(tt.host, func(t *testing.T) {
			w, source := newWorld(t), new(scriptedSource)
			body := &countedBody{Reader: strings.NewReader("hello")}
			client := &http.Client{Transport: &tokensource.Transport{Source: source, Base: w}}
			resp, err := client.Post("http://"+tt.host+"/", "text/plain", body)
			if !errors.Is(err, tt.want) {
				t.Fatalf("error = %v, want %v", err, tt.want)
			}
			if n := body.closed.Load(); n == 0 {
				t.Error("body was not closed")
			}
			if err == nil {
				resp.Body.Close()
				return
			}
			if e := asError(t, err); !strings.Contains(e.Error(), "use https") {
				t.Errorf("error = %v, want one that says what to do", e)
			}
			if len(w.tokens) != 0 {
				t.Errorf("%d requests sent, want none", len(w.tokens))
			}
			wantCalls(t, source, 0)
		})
	}
}

// The error named it "://".
func TestTransportToAnOriginThatCannotBeDialed(t *testing.T) {
	tr := &tokensource.Transport{Source: new(scriptedSource), Base: newWorld(t), Origins: []string{"https://api.example"}}
	for _, host := range []string{"api.example..", "api.example:99999", "a\u00ad_ü.example"} {
		_, err := tr.RoundTrip(&http.Request{Method: http.MethodGet, URL: &url.URL{Scheme: "https", Host: host}})
		if e := asError(t, err); !errors.Is(e, tokensource.ErrOrigin) || !strings.Contains(e.Error(), "a host that cannot be dialed") {
			t.Errorf("%s: error = %v, want one that says what is wrong with it", host, e)
		}
	}
}

// Of an origin that is configured with https the mistake is the scheme.
func TestTransportPlainHTTPToAnOriginOfHTTPS(t *testing.T) {
	w := newWorld(t)
	tr := &tokensource.Transport{Source: new(scriptedSource), Base: w, Origins: []string{"https://api.example"}}
	_, err := tr.RoundTrip(httptest.NewRequest(http.MethodGet, "http://api.example/", nil))
	e := asError(t, err)
	if !errors.Is(e, tokensource.ErrInsecure) || !errors.Is(e, tokensource.ErrOrigin) || !strings.Contains(e.Error(), "use https") {
		t.Errorf("error = %v, want ErrInsecure, which is ErrOrigin too", e)
	}
	if len(w.tokens) != 0 {
		t.Errorf("%d requests sent, want none", len(w.tokens))
	}
}

// golang/oauth2#500, google-cloud-go#14547, google/go-github#4190: the
// transport attached the bearer token again on the host that it was redirected
// to.
func TestTransportRedirects(t *testing.T) {
	const home, away = "https://home.example/", "https://away.test/"
	bases := map[string]func(http.RoundTripper) http.RoundTripper{
		"net/http": func(base http.RoundTripper) http.RoundTripper { return base },
		// As stubs and recorders do.
		"base whose response has no Request": func(base http.RoundTripper) http.RoundTripper {
			return baseFunc(func(req *http.Request) (*http.Response, error) {
				resp, err := base.RoundTrip(req)
				if err == nil {
					resp.Request = nil
				}
				return resp, err
			})
		},
		// As signing and tunnelling transports do.
		"base that sends a request of its own": func(base http.RoundTripper) http.RoundTripper {
			return baseFunc(func(req *http.Request) (*http.Response, error) {
				own, err := http.NewRequestWithContext(req.Context(), req.Method, req.URL.String(), req.Body)
				if err != nil {
					return nil, err
				}
				own.Header = req.Header
				return base.RoundTrip(own)
			})
		},
	}
	for _, tt := range []struct {
		name    string
		origins []string
		hops    []string
		want    []bool // which hop gets the token
	}{
		{"same origin", nil, []string{home, home + "next", home + "last"}, []bool{true, true, true}},
		{"same origin with its port", nil, []string{home, "https://home.example:443/"}, []bool{true, true}},
		{"another host", nil, []string{home, away}, []bool{true, false}},
		{"another host and on from there", nil, []string{home, away, away + "next", "https://third.test/"}, []bool{true, false, false, false}},
		{"away and back home", nil, []string{home, away, home}, []bool{true, false, false}},
		{"away, back home and on", nil, []string{home, away, home, home}, []bool{true, false, false, false}},
		{"subdomain", nil, []string{home, "https://evil.home.example/"}, []bool{true, false}},
		{"parent domain", nil, []string{"https://api.home.example/", home}, []bool{true, false}},
		{"another port", nil, []string{home, "https://home.example:8443/"}, []bool{true, false}},
		{"https to http", nil, []string{home, "http://home.example/"}, []bool{true, false}},
		{"https to http and back", nil, []string{home, "http://home.example/", home}, []bool{true, false, false}},
		{"http to https", nil, []string{"http://127.0.0.1/", "https://127.0.0.1/"}, []bool{true, false}},
		{"within the origins", []string{"https://home.example", "https://away.test"}, []string{home, away, home}, []bool{true, true, true}},
		{"out of the origins", []string{"https://home.example"}, []string{home, away}, []bool{true, false}},
		{"out of the origins and back", []string{"https://home.example"}, []string{home, away, home}, []bool{true, false, false}},
	} {
		for name, base := range bases {
			t.Run(tt.name+"/"+name, func(t *testing.T) {
				w := newWorld(t)
				w.hops = tt.hops
				tr := &tokensource.Transport{
					Source:  oauth2.StaticTokenSource(&oauth2.Token{AccessToken: "abc"}),
					Base:    base(w),
					Origins: tt.origins,
				}
				resp, err := (&http.Client{Transport: tr}).Get(tt.hops[0])
				if err != nil {
					t.Fatal(err)
				}
				resp.Body.Close()
				var got []bool
				for _, header := range w.tokens {
					got = append(got, header != "")
				}
				if !slices.Equal(got, tt.want) {
					t.Errorf("token sent = %v, want %v for %v", got, tt.want, tt.hops)
				}
			})
		}
	}
}

// Whatever kind of redirect it is, and with a body too.
func TestTransportRedirectStatuses(t *testing.T) {
	for _, status := range []int{301, 302, 303, 307, 308} {
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			t.Run(fmt.Sprint(status, method), func(t *testing.T) {
				w := newWorld(t)
				w.status = status
				w.hops = []string{"https://home.example/", "https://home.example/next", "https://away.test/", "https://home.example/"}
				client := &http.Client{Transport: &tokensource.Transport{Source: &tokensource.Cache{Source: new(scriptedSource)}, Base: w}}
				req, err := http.NewRequest(method, w.hops[0], strings.NewReader("hello"))
				if err != nil {
					t.Fatal(err)
				}
				resp, err := client.Do(req)
				if err != nil {
					t.Fatal(err)
				}
				resp.Body.Close()
				if want := []string{"Bearer token-1", "Bearer token-1", "", ""}; !slices.Equal(w.tokens, want) {
					t.Errorf("sent %q, want %q", w.tokens, want)
				}
			})
		}
	}
}

// net/http drops a header of the caller's on the way to another host. The token
// must not take its place there.
func TestTransportRedirectWithExplicitHeader(t *testing.T) {
	w := newWorld(t)
	w.hops = []string{"https://home.example/", "https://away.test/", "https://home.example/"}
	client := &http.Client{Transport: &tokensource.Transport{Source: new(scriptedSource), Base: w}}
	req, err := http.NewRequest(http.MethodGet, w.hops[0], nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Basic own")
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if want := []string{"Basic own", "", ""}; !slices.Equal(w.tokens, want) {
		t.Errorf("sent %q, want %q", w.tokens, want)
	}
}

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

// answering is a Base that costs nothing. As net/http's transport does, it makes
// a response for each attempt and says which that is; since there is one at a
// time, always in the same place, so that what is counted are the allocations of
// the transport above.
type answering struct{ last *http.Response }

func (a answering) RoundTrip(req *http.Request) (*http.Response, error) {
	*a.last = http.Response{StatusCode: http.StatusOK, Body: http.NoBody, Request: req}
	return a.last, nil
}

// stub is a Base that shares one response, as stubs in tests do. The Transport
// copies it, oauth2.Transport does not.
type stub struct{ shared *http.Response }

func (s stub) RoundTrip(*http.Request) (*http.Response, error) { return s.shared, nil }

// BenchmarkRoundTrip has the transports take turns, a block of requests each, so
// that what else the machine does slows all of them. It reports medians. The
// allocations are counted by TestAllocations.
func BenchmarkRoundTrip(b *testing.B) {
	source := &scriptedSource{lifetime: time.Hour}
	base := answering{new(http.Response)}
	shared := stub{&http.Response{StatusCode: http.StatusOK, Body: http.NoBody}}
	one := http.Header{"Accept": {"application/json"}}
	five := http.Header{
		"Accept": {"application/json"}, "Content-Type": {"application/json"}, "User-Agent": {"program/1.0"},
		"Idempotency-Key": {"1b671a64-40d5-491e-99b0-da01ff1f3341"},
		"Traceparent":     {"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"},
	}
	for _, request := range []struct {
		name   string
		base   http.RoundTripper
		header http.Header
	}{
		{"1 header", base, one},
		{"5 headers", base, five},
		{"1 header, shared response", shared, one},
	} {
		b.Run(request.name, func(b *testing.B) {
			req, err := http.NewRequest(http.MethodPost, "https://api.example/path", nil)
			if err != nil {
				b.Fatal(err)
			}
			req.Header = request.header
			transports := []http.RoundTripper{
				&oauth2.Transport{Source: oauth2.ReuseTokenSource(nil, source), Base: request.base},
				&tokensource.Transport{Source: &tokensource.Cache{Source: source}, Base: request.base},
				&tokensource.Transport{
					Source: &tokensource.Cache{Source: source}, Base: request.base, Origins: []string{"https://api.example"},
				},
			}
			blocks := make([][]float64, len(transports)) // ns per request
			for b.Loop() {
				for i, transport := range transports {
					const block = 1000
					start := time.Now()
					for range block {
						if _, err := transport.RoundTrip(req); err != nil {
							b.Fatal(err)
						}
					}
					blocks[i] = append(blocks[i], float64(time.Since(start))/block)
				}
			}
			median := func(i int) float64 {
				slices.Sort(blocks[i])
				return blocks[i][len(blocks[i])/2]
			}
			b.ReportMetric(0, "ns/op") // of three blocks
			b.ReportMetric(median(0), "oauth2-ns")
			b.ReportMetric(median(1)/median(0), "of-oauth2")
			b.ReportMetric(median(2)/median(0), "of-oauth2-with-Origins")
		})
	}
}
