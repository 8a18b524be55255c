package dropin_test

// SDKs with an authentication of their own: Google's, Kubernetes', Azure's and
// that of AWS.

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/streaming"
	"github.com/aws/smithy-go/auth/bearer"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"
	"github.com/tokensource-go/tokensource"
	"google.golang.org/api/option"
	"google.golang.org/api/storage/v1"
	"google.golang.org/grpc/test/bufconn"
	k8sruntime "k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/transport"
)

var sdkWirings = []wiring{
	{"google.golang.org/api, `option.WithTokenSource(cache)`", func(t *testing.T, f *fixture) func(context.Context) error {
		f.listen(t)
		return f.google(t, option.WithTokenSource(f.cache))
	}, theRest},
	{"google.golang.org/api, `option.WithHTTPClient(tokensource.NewClient(cache))`", func(t *testing.T, f *fixture) func(context.Context) error {
		return f.google(t, option.WithHTTPClient(tokensource.NewClient(f.cache)))
	}, survived},
	{"client-go, `config.Wrap(transport.TokenSourceWrapTransport(cache))`", func(t *testing.T, f *fixture) func(context.Context) error {
		return f.kubernetes(t, transport.TokenSourceWrapTransport(f.cache))
	}, theRest},
	{"client-go, the same after `config.Wrap` of a `Transport`", func(t *testing.T, f *fixture) func(context.Context) error {
		return f.kubernetes(t, f.wrap, transport.TokenSourceWrapTransport(f.cache))
	}, survived},
	{"client-go, `config.Wrap` of a `Transport` alone", func(t *testing.T, f *fixture) func(context.Context) error {
		return f.kubernetes(t, f.wrap)
	}, survived},
	{"azcore, bearer token policy around the cache", func(_ *testing.T, f *fixture) func(context.Context) error {
		return f.azure(&http.Client{Transport: f.wire})
	}, theRest},
	{"azcore, the same with `ClientOptions.Transport: tokensource.NewClient(cache)`", func(_ *testing.T, f *fixture) func(context.Context) error {
		return f.azure(tokensource.NewClient(f.cache))
	}, survived},
	{"smithy-go, bearer token middleware around the cache", func(t *testing.T, f *fixture) func(context.Context) error {
		return f.smithy(t, &http.Client{Transport: f.wire}, "")
	}, theRest},
	{"smithy-go, the same with `tokensource.NewClient(cache)` as the HTTP client", func(t *testing.T, f *fixture) func(context.Context) error {
		return f.smithy(t, tokensource.NewClient(f.cache), "")
	}, survived},
	{"smithy-go, the same, a call with a body (there is no `GetBody`)", func(t *testing.T, f *fixture) func(context.Context) error {
		return f.smithy(t, tokensource.NewClient(f.cache), payment)
	}, oneCall},
}

func (f *fixture) google(t *testing.T, auth option.ClientOption) func(context.Context) error {
	service, err := storage.NewService(t.Context(), auth, option.WithEndpoint(f.base().String()))
	if err != nil {
		t.Fatal(err)
	}
	return func(ctx context.Context) error {
		_, err := service.Buckets.Insert("project", &storage.Bucket{Name: "payments"}).Context(ctx).Do()
		return err
	}
}

// listen serves the sandbox to a library that makes its transport of
// http.DefaultTransport.
func (f *fixture) listen(t *testing.T) {
	listener := bufconn.Listen(1 << 16)
	server := &http.Server{Handler: f.box.Handler}
	go server.Serve(listener)
	before := http.DefaultTransport
	http.DefaultTransport = &http.Transport{DialTLSContext: dialer(listener)}
	t.Cleanup(func() {
		http.DefaultTransport = before
		server.Close()
	})
}

func (f *fixture) kubernetes(t *testing.T, wrappers ...transport.WrapperFunc) func(context.Context) error {
	config := &rest.Config{
		Host:      f.box.URL,
		Transport: f.wire,
		QPS:       -1, // no limit
		ContentConfig: rest.ContentConfig{
			GroupVersion:         &schema.GroupVersion{Version: "v1"},
			NegotiatedSerializer: serializer.NewCodecFactory(k8sruntime.NewScheme()).WithoutConversion(),
		},
	}
	for _, wrap := range wrappers {
		config.Wrap(wrap)
	}
	client, err := rest.UnversionedRESTClientFor(config)
	if err != nil {
		t.Fatal(err)
	}
	return func(ctx context.Context) error {
		_, err := client.Post().AbsPath(f.base().Path, "pods").Body([]byte(payment)).DoRaw(ctx)
		return err
	}
}

// wrap is the argument of config.Wrap.
func (f *fixture) wrap(base http.RoundTripper) http.RoundTripper {
	return &tokensource.Transport{Source: f.cache, Base: base}
}

// margin is what a call may take to arrive: azcore and smithy-go cache a token
// once more, and send it until the moment at which they think it expires.
const margin = 10 * time.Second

// azureCredential is a Cache as an azcore.TokenCredential.
type azureCredential struct{ *tokensource.Cache }

func (c azureCredential) GetToken(ctx context.Context, _ policy.TokenRequestOptions) (azcore.AccessToken, error) {
	tok, err := c.TokenContext(ctx)
	if err != nil {
		return azcore.AccessToken{}, err
	}
	return azcore.AccessToken{Token: tok.AccessToken, ExpiresOn: tok.Expiry.Add(-margin)}, nil
}

func (f *fixture) azure(client *http.Client) func(context.Context) error {
	auth := runtime.NewBearerTokenPolicy(azureCredential{f.cache}, nil, nil)
	pipeline := runtime.NewPipeline("dropin", "v1",
		runtime.PipelineOptions{PerRetry: []policy.Policy{auth}}, &policy.ClientOptions{Transport: client})
	return func(ctx context.Context) error {
		req, err := runtime.NewRequest(ctx, http.MethodPost, f.api)
		if err != nil {
			return err
		}
		if err := req.SetBody(streaming.NopCloser(bytes.NewReader([]byte(payment))), "application/json"); err != nil {
			return err
		}
		return answered(pipeline.Do(req))
	}
}

// smithyProvider is a Cache as a bearer.TokenProvider.
func smithyProvider(cache *tokensource.Cache) bearer.TokenProvider {
	return bearer.TokenProviderFunc(func(ctx context.Context) (bearer.Token, error) {
		tok, err := cache.TokenContext(ctx)
		if err != nil {
			return bearer.Token{}, err
		}
		return bearer.Token{Value: tok.AccessToken, CanExpire: !tok.Expiry.IsZero(), Expires: tok.Expiry.Add(-margin)}, nil
	})
}

func (f *fixture) smithy(t *testing.T, client *http.Client, body string) func(context.Context) error {
	stack := middleware.NewStack("dropin", smithyhttp.NewStackRequest)
	// What the SDK's code generator writes for an operation.
	serialize := middleware.SerializeMiddlewareFunc("request", func(ctx context.Context, in middleware.SerializeInput, next middleware.SerializeHandler) (
		out middleware.SerializeOutput, metadata middleware.Metadata, err error,
	) {
		req := in.Request.(*smithyhttp.Request)
		req.Method, req.URL = http.MethodPost, f.base().JoinPath("payments")
		if body != "" {
			if in.Request, err = req.SetStream(strings.NewReader(body)); err != nil {
				return out, metadata, err
			}
		}
		return next.HandleSerialize(ctx, in)
	})
	deserialize := middleware.DeserializeMiddlewareFunc("response", func(ctx context.Context, in middleware.DeserializeInput, next middleware.DeserializeHandler) (
		middleware.DeserializeOutput, middleware.Metadata, error,
	) {
		out, metadata, err := next.HandleDeserialize(ctx, in)
		out.Result = out.RawResponse
		return out, metadata, err
	})
	if err := errors.Join(stack.Serialize.Add(serialize, middleware.After), stack.Deserialize.Add(deserialize, middleware.After)); err != nil {
		t.Fatal(err)
	}
	provider := bearer.NewTokenCache(smithyProvider(f.cache)) // as the AWS SDK has it
	if err := bearer.AddAuthenticationMiddleware(stack, bearer.NewSignHTTPSMessage(), provider); err != nil {
		t.Fatal(err)
	}
	handler := middleware.DecorateHandler(smithyhttp.NewClientHandlerWithOptions(client), stack)
	return func(ctx context.Context) error {
		out, _, err := handler.Handle(ctx, nil)
		if err != nil {
			return err
		}
		return answered(out.(*smithyhttp.Response).Response, nil)
	}
}
