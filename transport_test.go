package tokensource_test

// What the Transport adds to a request, how long it waits for it, and
// http.RoundTripper's contract. Which origins may have the token is in
// transport_origin_test.go, what a 401 leads to in transport_retry_test.go.

import (
	"compress/gzip"
	"context"
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
	"strings"
	"sync"
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
