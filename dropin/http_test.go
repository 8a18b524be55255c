package dropin_test

// Libraries that take a http.RoundTripper: retrying clients, a reverse proxy.

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-resty/resty/v2"
	"github.com/hashicorp/go-retryablehttp"
	"github.com/tokensource-go/tokensource"
	"github.com/tokensource-go/tokensource/sandbox"
)

const payment = `{"amount":100}`

// The outer client repeats what is worth repeating (a 503), the Transport below
// it what only another token can cure (a 401), and neither gets into the
// other's way: three attempts, each with the whole body, a new token after the
// 401 only. Single-use tokens are new in each attempt.
func TestRetryingClients(t *testing.T) {
	for _, outer := range []struct {
		name string
		post func(http.RoundTripper, string) (status int, err error)
	}{
		{"go-retryablehttp", func(transport http.RoundTripper, url string) (int, error) {
			client := retryablehttp.NewClient()
			client.Logger = nil
			client.HTTPClient.Transport = transport
			resp, err := client.Post(url, "application/json", []byte(payment))
			if err != nil {
				return 0, err
			}
			return resp.StatusCode, resp.Body.Close()
		}},
		{"resty.SetTransport", func(transport http.RoundTripper, url string) (int, error) {
			return postByResty(resty.New().SetTransport(transport), url)
		}},
		{"resty.NewWithClient", func(transport http.RoundTripper, url string) (int, error) {
			return postByResty(resty.NewWithClient(&http.Client{Transport: transport}), url)
		}},
	} {
		for _, p := range providers {
			t.Run(outer.name+"/"+p.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					f := p.start(t, sandbox.NewInProcess)
					f.rejectNext()
					f.box.Script(p.id, sandbox.API, sandbox.Fault{
						Status: http.StatusServiceUnavailable,
						Header: http.Header{"Retry-After": {"7"}},
					})
					start := time.Now()
					status, err := outer.post(&tokensource.Transport{Source: f.cache, Base: f.wire}, f.api)
					if err != nil || status != http.StatusOK {
						t.Errorf("got %d, %v, want 200", status, err)
					}
					if waited := time.Since(start); waited != 7*time.Second {
						t.Errorf("the 503 was retried after %v, want 7s", waited)
					}
					if want := []string{payment, payment, payment}; !slices.Equal(f.wire.bodies, want) {
						t.Errorf("the API got %q, want %q", f.wire.bodies, want)
					}
					f.expect(t, want{accepted: 1, tokens: 2, singleUse: 3})
				})
			})
		}
	}
}

// By its default policy go-retryablehttp takes each error for one that passes:
// five attempts in 15 s, with a request for a token whenever the Cache has one
// to make.
func TestRetryableHTTPAndErrorsThatStay(t *testing.T) {
	const home, api = "https://sandbox.example", "https://sandbox.example/rewardsOrderProcessing/v1/"
	refused, outage := sandbox.Fault{Status: http.StatusUnauthorized}, sandbox.Fault{Status: http.StatusServiceUnavailable}
	for _, tt := range []struct {
		name        string
		base        string // of the provider
		url         string
		fault       sandbox.Fault // of the token endpoint, for 5 s
		policy      retryablehttp.CheckRetry
		is          error // the call's
		calls       int
		least, most int // token requests
	}{
		{"wrong credentials", home, api, refused, RetryUnlessFutile, tokensource.ErrCredentials, 1, 1, 1},
		{"wrong credentials, default policy", home, api, refused, retryablehttp.DefaultRetryPolicy, nil, 4, 3, 4},
		{"another origin", home, "https://other.example", sandbox.Fault{}, RetryUnlessFutile, tokensource.ErrOrigin, 1, 0, 0},
		{"plain http", "http://sandbox.example", "http://sandbox.example", sandbox.Fault{}, RetryUnlessFutile, tokensource.ErrInsecure, 1, 0, 0},
		{"outage", home, api, outage, RetryUnlessFutile, nil, 4, 3, 6},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				box := sandbox.NewInProcess(sandbox.Config{})
				box.Always(sandbox.Blackhawk, sandbox.Token, tt.fault)
				time.AfterFunc(5*time.Second, func() { box.Always(sandbox.Blackhawk, sandbox.Token, sandbox.Fault{}) })
				cache := &tokensource.Cache{Source: blackhawk.configure(tt.base, box.Client())}
				defer cache.Close()
				calls := 0
				client := retryablehttp.NewClient()
				client.Logger = nil
				client.HTTPClient = tokensource.NewClient(cache)
				client.CheckRetry = func(ctx context.Context, resp *http.Response, err error) (bool, error) {
					calls++
					return tt.policy(ctx, resp, err)
				}
				err := answered(client.Post(tt.url, "application/json", []byte(payment)))
				if !errors.Is(err, tt.is) {
					t.Errorf("error = %v, want %v", err, tt.is)
				}
				got := box.Ledger()[sandbox.Blackhawk].TokenRequests
				if calls != tt.calls || got < tt.least || got > tt.most {
					t.Errorf("%d calls with %d token requests, want %d with %d to %d", calls, got, tt.calls, tt.least, tt.most)
				}
			})
		})
	}
}

func postByResty(client *resty.Client, url string) (int, error) {
	client.SetRetryCount(1).SetRetryMaxWaitTime(time.Minute)
	client.AddRetryCondition(func(resp *resty.Response, _ error) bool {
		return resp.StatusCode() == http.StatusServiceUnavailable
	})
	client.SetRetryAfter(func(_ *resty.Client, resp *resty.Response) (time.Duration, error) {
		return time.ParseDuration(resp.Header().Get("Retry-After") + "s")
	})
	resp, err := client.R().SetHeader("Content-Type", "application/json").SetBody(payment).Post(url)
	return resp.StatusCode(), err
}

// The proxy has the credentials, the programs that use it need none. A body
// that streams through cannot be sent twice: its 401 goes back to the client,
// whose next attempt gets a new token.
func TestReverseProxy(t *testing.T) {
	for _, fault := range []struct {
		name, method, body string
		status, requests   int // of the request whose token is rejected
	}{
		{"rejected without a body", http.MethodGet, "", http.StatusOK, 2},
		{"rejected with a streamed body", http.MethodPost, payment, http.StatusUnauthorized, 1},
	} {
		for _, p := range providers {
			t.Run(fault.name+"/"+p.name, func(t *testing.T) {
				f := p.start(t, sandbox.New)
				api, err := url.Parse(f.api)
				if err != nil {
					t.Fatal(err)
				}
				proxy := httptest.NewServer(&httputil.ReverseProxy{
					Rewrite: func(r *httputil.ProxyRequest) {
						r.Out.URL, r.Out.Host = api, ""
						r.Out.Header.Del("Authorization") // the Transport would keep the client's
					},
					Transport: &tokensource.Transport{Source: f.cache, Base: f.wire},
				})
				t.Cleanup(proxy.Close)
				f.rejectNext()
				send(t, proxy.Client(), fault.method, proxy.URL, fault.body, fault.status)
				send(t, proxy.Client(), fault.method, proxy.URL, fault.body, http.StatusOK)
				if want := slices.Repeat([]string{fault.body}, fault.requests+1); !slices.Equal(f.wire.bodies, want) {
					t.Errorf("the API got %q, want %q", f.wire.bodies, want)
				}
				f.expect(t, want{accepted: fault.requests, tokens: 2, singleUse: fault.requests + 1})
			})
		}
	}
}
