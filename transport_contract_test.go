package tokensource_test

// http.RoundTripper's contract: the request is the caller's, its body is
// closed.

import (
	"context"
	"errors"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"github.com/tokensource-go/tokensource"
)

// Exactly once, by whoever had it last.
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

// A stub in somebody's test leaves out what a real server never would. http.Client
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
			_, err := client.Get("https://api.example/")
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
