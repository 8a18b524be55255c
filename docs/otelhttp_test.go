package docs_test

// What the recipe for OpenTelemetry says of a token request's span.

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/tokensource-go/tokensource"
	"github.com/tokensource-go/tokensource/sandbox"
)

func TestTracesHoldNoSecret(t *testing.T) {
	for _, provider := range []sandbox.Provider{sandbox.Blink, sandbox.Blackhawk} {
		for name, fault := range map[string]sandbox.Fault{
			"a token":              {},
			"rejected credentials": {Status: http.StatusUnauthorized, Code: sandbox.Secret, Message: sandbox.Secret},
			"a broken connection":  {Break: true},
			"a redirect":           {Status: http.StatusFound, Header: http.Header{"Location": {"https://elsewhere.example/?key=" + sandbox.Secret}}},
		} {
			t.Run(fmt.Sprint(provider, ", ", name), func(t *testing.T) {
				sb := sandbox.NewInProcess(sandbox.Config{})
				sb.Script(provider, sandbox.Token, fault)
				recorder := tracetest.NewSpanRecorder()
				traced := &http.Client{Transport: otelhttp.NewTransport(sb,
					otelhttp.WithTracerProvider(trace.NewTracerProvider(trace.WithSpanProcessor(recorder))))}
				creds := tokensource.StaticCredentials(sandbox.ID, sandbox.Secret)
				var source tokensource.Provider = &tokensource.Blink{Credentials: creds, BaseURL: sb.URL, HTTPClient: traced}
				if provider == sandbox.Blackhawk {
					source = &tokensource.Blackhawk{Credentials: creds, BaseURL: sb.URL, HTTPClient: traced}
				}
				client := tokensource.NewClient(source)
				client.Get(sb.APIURL(provider)) // the spans tell what came of it

				tokenRequests := 0
				for _, span := range recorder.Ended() {
					told := fmt.Sprintf("%s %+v %+v %+v", span.Name(), span.Attributes(), span.Events(), span.Status())
					for _, secret := range []string{sandbox.ID, sandbox.Secret, sandbox.TokenMark, "Basic ", "Bearer "} {
						if strings.Contains(told, secret) {
							t.Errorf("%q shows in %s", secret, told)
						}
					}
					if strings.Contains(told, sb.TokenURL(provider)) && strings.Contains(told, "POST") {
						tokenRequests++
					}
				}
				if got := sb.Ledger()[provider].TokenRequests; tokenRequests != got || got == 0 {
					t.Errorf("%d token requests have a span, of %d", tokenRequests, got)
				}
			})
		}
	}
}
