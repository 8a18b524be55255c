package dropin_test

// gRPC: credentials/oauth makes per-RPC credentials of any oauth2.TokenSource.

import (
	"context"
	"crypto/x509"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/tokensource-go/tokensource/sandbox"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/oauth"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

func TestGRPC(t *testing.T) {
	for _, p := range providers {
		t.Run(p.name, func(t *testing.T) {
			f := p.start(t, sandbox.NewInProcess)
			addr, trust, stop := serveGRPC(&http.Client{Transport: f.wire}, f.api)
			defer stop()
			conn, err := grpc.NewClient(addr, grpc.WithTransportCredentials(trust),
				grpc.WithPerRPCCredentials(oauth.TokenSource{TokenSource: f.cache}))
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			for range 3 {
				if _, err := grpc_health_v1.NewHealthClient(conn).Check(t.Context(), &grpc_health_v1.HealthCheckRequest{}); err != nil {
					t.Error(err)
				}
			}
			f.expect(t, want{accepted: 3, tokens: 1, singleUse: 3})
		})
	}
}

// serveGRPC serves the health service over TLS on loopback. It passes each
// call's authorization on to an API, whose answer decides.
func serveGRPC(client *http.Client, api string) (addr string, trust credentials.TransportCredentials, stop func()) {
	https := httptest.NewTLSServer(nil) // for its certificate
	defer https.Close()
	roots := x509.NewCertPool()
	roots.AddCert(https.Certificate())

	server := grpc.NewServer(
		grpc.Creds(credentials.NewServerTLSFromCert(&https.TLS.Certificates[0])),
		grpc.UnaryInterceptor(func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
			check, err := http.NewRequestWithContext(ctx, http.MethodPost, api, nil)
			if err != nil {
				return nil, err
			}
			check.Header["Authorization"] = metadata.ValueFromIncomingContext(ctx, "authorization")
			resp, err := client.Do(check)
			if err != nil {
				return nil, err
			}
			resp.Body.Close()
			if resp.StatusCode != http.StatusOK {
				return nil, status.Error(codes.Unauthenticated, resp.Status)
			}
			return handle(ctx, req)
		}))
	grpc_health_v1.RegisterHealthServer(server, health.NewServer())
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	go server.Serve(listener)
	return listener.Addr().String(), credentials.NewClientTLSFromCert(roots, ""), server.Stop
}
