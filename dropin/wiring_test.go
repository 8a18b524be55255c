package dropin_test

// Libraries that take a http.Client or a http.RoundTripper, or have one made
// by x/oauth2.

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/digitalocean/godo"
	"github.com/go-resty/resty/v2"
	"github.com/google/go-github/v68/github"
	"github.com/hashicorp/go-retryablehttp"
	"github.com/tokensource-go/tokensource"
	"golang.org/x/oauth2"
)

var oauth2Wirings = []wiring{
	{"`oauth2.NewClient(ctx, cache)`", func(t *testing.T, f *fixture) func(context.Context) error {
		return f.post(oauth2.NewClient(f.context(t), f.cache))
	}, theRest},
	{"`oauth2.NewClient(ctx, cache)` with `tokensource.NewClient(cache)` as the context's `oauth2.HTTPClient`", func(t *testing.T, f *fixture) func(context.Context) error {
		return f.post(f.adopted(t))
	}, survived},
}

var clientWirings = []wiring{
	{"`tokensource.NewClient(cache)`", func(_ *testing.T, f *fixture) func(context.Context) error {
		return f.post(tokensource.NewClient(f.cache))
	}, survived},
	{"a request editor (oapi-codegen) that asks the cache, over any client", func(_ *testing.T, f *fixture) func(context.Context) error {
		return f.edit(&http.Client{Transport: f.wire})
	}, theRest},
	{"a request editor (oapi-codegen) that asks the cache, over `tokensource.NewClient(cache)`", func(_ *testing.T, f *fixture) func(context.Context) error {
		return f.edit(tokensource.NewClient(f.cache))
	}, survived},
	{"go-retryablehttp, `client.HTTPClient.Transport = transport`", func(_ *testing.T, f *fixture) func(context.Context) error {
		client := retryablehttp.NewClient()
		client.Logger = nil
		client.HTTPClient.Transport = f.transport()
		return func(ctx context.Context) error {
			req, err := retryablehttp.NewRequestWithContext(ctx, http.MethodPost, f.api, []byte(payment))
			if err != nil {
				return err
			}
			return answered(client.Do(req))
		}
	}, survived},
	{"resty, `SetTransport(transport)`", func(_ *testing.T, f *fixture) func(context.Context) error {
		client := resty.New().SetTransport(f.transport())
		return func(ctx context.Context) error {
			resp, err := client.R().SetContext(ctx).SetBody(payment).Post(f.api)
			if err != nil {
				return err
			}
			return ok(resp.StatusCode())
		}
	}, survived},
	{"go-github, `NewClient(oauth2.NewClient(ctx, cache))`", func(t *testing.T, f *fixture) func(context.Context) error {
		return f.github(oauth2.NewClient(f.context(t), f.cache))
	}, theRest},
	{"go-github, `NewClient(tokensource.NewClient(cache))`", func(_ *testing.T, f *fixture) func(context.Context) error {
		return f.github(tokensource.NewClient(f.cache))
	}, survived},
	{"godo, `NewClient(oauth2.NewClient(ctx, cache))`", func(t *testing.T, f *fixture) func(context.Context) error {
		return f.godo(t, oauth2.NewClient(f.context(t), f.cache))
	}, theRest},
	{"godo, `NewClient(tokensource.NewClient(cache))`", func(t *testing.T, f *fixture) func(context.Context) error {
		return f.godo(t, tokensource.NewClient(f.cache))
	}, survived},
}

// transport is what a library gets that takes one: its Base is a transport of
// the program, here the one to the sandbox.
func (f *fixture) transport() http.RoundTripper {
	return &tokensource.Transport{Source: f.cache, Base: f.wire}
}

// adopted is x/oauth2's client, whose cached token a Transport below recognises.
func (f *fixture) adopted(t *testing.T) *http.Client {
	ctx := context.WithValue(t.Context(), oauth2.HTTPClient, tokensource.NewClient(f.cache))
	return oauth2.NewClient(ctx, f.cache)
}

func (f *fixture) post(client *http.Client) func(context.Context) error {
	return f.edit(client, func(context.Context, *http.Request) error { return nil })
}

// edit is a call as oapi-codegen generates them: the editors see the request,
// and a doer sends it. Without any, one adds the Cache's token.
func (f *fixture) edit(client *http.Client, editors ...func(context.Context, *http.Request) error) func(context.Context) error {
	if len(editors) == 0 {
		editors = append(editors, func(ctx context.Context, req *http.Request) error {
			tok, err := f.cache.TokenContext(ctx)
			if err == nil {
				tok.SetAuthHeader(req)
			}
			return err
		})
	}
	return func(ctx context.Context) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, f.api, strings.NewReader(payment))
		if err != nil {
			return err
		}
		for _, edit := range editors {
			if err := edit(ctx, req); err != nil {
				return err
			}
		}
		return answered(client.Do(req))
	}
}

func (f *fixture) github(client *http.Client) func(context.Context) error {
	hub := github.NewClient(client)
	hub.BaseURL = f.base()
	return func(ctx context.Context) error {
		_, _, err := hub.Issues.Create(ctx, "owner", "name", &github.IssueRequest{Title: new("payment")})
		return err
	}
}

func (f *fixture) godo(t *testing.T, client *http.Client) func(context.Context) error {
	ocean, err := godo.New(client, godo.SetBaseURL(f.base().String()))
	if err != nil {
		t.Fatal(err)
	}
	return func(ctx context.Context) error {
		_, _, err := ocean.Tags.Create(ctx, &godo.TagCreateRequest{Name: "payment"})
		return err
	}
}

// base is below which every path is the sandbox's API.
func (f *fixture) base() *url.URL {
	u, err := url.Parse(f.api)
	if err != nil {
		panic(err)
	}
	return u.JoinPath("../")
}

func answered(resp *http.Response, err error) error {
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	io.Copy(io.Discard, resp.Body)
	return ok(resp.StatusCode)
}

func ok(status int) error {
	if status != http.StatusOK {
		return fmt.Errorf("status %d", status)
	}
	return nil
}
