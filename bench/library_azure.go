package main

import (
	"context"
	"net/http"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
)

var azureLibrary = library{
	name:   "azcore",
	what:   "BearerTokenPolicy, within a pipeline for requests",
	module: "github.com/Azure/azure-sdk-for-go/sdk/azcore",
	window: "on demand, 5 min before the end, at most every 30 s; one caller waits",
	open: func(f fetch) source {
		return azurePolicy{newPolicy(f)}
	},
	transport: func(f fetch, base http.RoundTripper) http.RoundTripper {
		return azurePipeline{runtime.NewPipeline("bench", "v0",
			runtime.PipelineOptions{PerRetry: []policy.Policy{newPolicy(f)}},
			&policy.ClientOptions{
				Retry:     policy.RetryOptions{MaxRetries: -1},
				Telemetry: policy.TelemetryOptions{Disabled: true},
				Transport: azureBase{base},
			})}
	},
	noRead: "a token cannot be had without a request: see there",
}

func newPolicy(f fetch) *runtime.BearerTokenPolicy {
	return runtime.NewBearerTokenPolicy(azureTokens(f), nil, nil)
}

type azurePolicy struct{ *runtime.BearerTokenPolicy }

// token makes a request that ends right behind the policy, since no other policy
// follows, and takes the token from its header.
func (p azurePolicy) token(ctx context.Context) (string, error) {
	req, err := runtime.NewRequest(ctx, http.MethodGet, "https://api.example")
	if err != nil {
		return "", err
	}
	_, err = p.Do(req)
	if access, ok := strings.CutPrefix(req.Raw().Header.Get("Authorization"), "Bearer "); ok {
		return access, nil
	}
	return "", err
}

type azurePipeline struct{ pipeline runtime.Pipeline }

// RoundTrip has a request of its own to change, as the other transports do.
func (p azurePipeline) RoundTrip(req *http.Request) (*http.Response, error) {
	r, err := runtime.NewRequestFromRequest(req.Clone(req.Context()))
	if err != nil {
		return nil, err
	}
	return p.pipeline.Do(r)
}

type azureBase struct{ http.RoundTripper }

func (b azureBase) Do(req *http.Request) (*http.Response, error) { return b.RoundTrip(req) }

type azureTokens fetch

func (f azureTokens) GetToken(ctx context.Context, _ policy.TokenRequestOptions) (azcore.AccessToken, error) {
	access, expiry, err := f(ctx)
	return azcore.AccessToken{Token: access, ExpiresOn: expiry}, err
}
