package dropin_test

// gRPC: credentials/oauth makes per-RPC credentials of any oauth2.TokenSource,
// PerRPC of example_grpc_test.go makes better ones of a Cache.

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tokensource-go/tokensource/sandbox"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/credentials/oauth"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"
)

var grpcWirings = []wiring{
	{"gRPC, `oauth.TokenSource{cache}`", func(t *testing.T, f *fixture) func(context.Context) error {
		return check(f.dialGRPC(t, plain(f)...))
	}, theRest},
	{"gRPC, `PerRPC{cache}.Options()` of [the Example](example_grpc_test.go)", func(t *testing.T, f *fixture) func(context.Context) error {
		return check(f.dialGRPC(t, PerRPC{f.cache}.Options()...))
	}, survived},
	{"gRPC, the same, a stream of answers", func(t *testing.T, f *fixture) func(context.Context) error {
		return watch(f.dialGRPC(t, PerRPC{f.cache}.Options()...))
	}, survived},
	{"gRPC, the same, a stream of requests", func(t *testing.T, f *fixture) func(context.Context) error {
		return upload(f.dialGRPC(t, PerRPC{f.cache}.Options()...))
	}, oneCall},
}

func plain(f *fixture) []grpc.DialOption {
	return []grpc.DialOption{grpc.WithPerRPCCredentials(oauth.TokenSource{TokenSource: f.cache})}
}

func check(conn *grpc.ClientConn) func(context.Context) error {
	return func(ctx context.Context) error {
		_, err := grpc_health_v1.NewHealthClient(conn).Check(ctx, &grpc_health_v1.HealthCheckRequest{})
		return err
	}
}

func watch(conn *grpc.ClientConn) func(context.Context) error {
	return func(ctx context.Context) error {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		stream, err := grpc_health_v1.NewHealthClient(conn).Watch(ctx, &grpc_health_v1.HealthCheckRequest{})
		if err != nil {
			return err
		}
		_, err = stream.Recv()
		return err
	}
}

// upload calls the same method as if its requests were a stream.
func upload(conn *grpc.ClientConn) func(context.Context) error {
	return func(ctx context.Context) error {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		desc := &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}
		stream, err := conn.NewStream(ctx, desc, grpc_health_v1.Health_Watch_FullMethodName)
		if err != nil {
			return err
		}
		stream.SendMsg(&grpc_health_v1.HealthCheckRequest{})
		stream.CloseSend()
		return stream.RecvMsg(new(grpc_health_v1.HealthCheckResponse))
	}
}

func TestGRPC(t *testing.T) {
	for _, way := range []struct {
		name    string
		options func(*fixture) []grpc.DialOption
	}{
		{"oauth.TokenSource", plain},
		{"PerRPC", func(f *fixture) []grpc.DialOption { return PerRPC{f.cache}.Options() }},
	} {
		for _, p := range providers {
			t.Run(way.name+"/"+p.name, func(t *testing.T) {
				f := p.start(t, sandbox.NewInProcess)
				call := check(f.dialGRPC(t, way.options(f)...))
				for range 3 {
					if err := call(t.Context()); err != nil {
						t.Error(err)
					}
				}
				f.expect(t, want{accepted: 3, tokens: 1, singleUse: 3})
			})
		}
	}
}

// oauth.TokenSource asks without a context: a call with a deadline of 300 ms
// came back when the Cache gave up, 30 s later.
func TestGRPCWhileTheTokenEndpointHangs(t *testing.T) {
	for _, tt := range []struct {
		name    string
		options func(*fixture) []grpc.DialOption
		call    func(*grpc.ClientConn) func(context.Context) error
		waited  time.Duration
	}{
		{"oauth.TokenSource", plain, check, 30 * time.Second},
		{"PerRPC, unary", func(f *fixture) []grpc.DialOption { return PerRPC{f.cache}.Options() }, check, 300 * time.Millisecond},
		{"PerRPC, stream", func(f *fixture) []grpc.DialOption { return PerRPC{f.cache}.Options() }, watch, 300 * time.Millisecond},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := blackhawk.start(t, sandbox.NewInProcess)
				f.box.Always(f.id, sandbox.Token, sandbox.Fault{Delay: time.Hour})
				call := tt.call(f.dialGRPC(t, tt.options(f)...))
				ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
				defer cancel()
				start := time.Now()
				err := call(ctx)
				if waited := time.Since(start); waited != tt.waited {
					t.Errorf("waited %v, want %v", waited, tt.waited)
				}
				if code := status.Code(err); code != codes.DeadlineExceeded && tt.waited < time.Second {
					t.Errorf("error = %v, want DeadlineExceeded", err)
				}
			})
		})
	}
}

// The codes tell a mistake from an outage, and neither counts as a rejection of
// a token: no token was sent.
func TestGRPCWithoutAToken(t *testing.T) {
	for _, tt := range []struct {
		name     string
		fault    sandbox.Fault
		want     codes.Code
		requests int
	}{
		{"wrong credentials", sandbox.Fault{Status: http.StatusUnauthorized}, codes.Unauthenticated, 1},
		{"outage", sandbox.Fault{Status: http.StatusServiceUnavailable}, codes.Unavailable, 3},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := blackhawk.start(t, sandbox.NewInProcess)
				f.box.Always(f.id, sandbox.Token, tt.fault)
				err := check(f.dialGRPC(t, PerRPC{f.cache}.Options()...))(t.Context())
				if status.Code(err) != tt.want {
					t.Errorf("error = %v, want %v", err, tt.want)
				}
				if got := f.box.Ledger()[f.id]; got.TokenRequests != tt.requests || got.Accepted+got.Rejected > 0 {
					t.Errorf("ledger %+v, want %d token requests and no call", got, tt.requests)
				}
			})
		})
	}
}

func TestGRPCWithoutTLS(t *testing.T) {
	f := blackhawk.start(t, sandbox.NewInProcess)
	options := append(PerRPC{f.cache}.Options(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if conn, err := grpc.NewClient("passthrough:///localhost", options...); err == nil {
		conn.Close()
		t.Error("a connection without TLS takes the credentials")
	}
}

// dialGRPC connects to a server whose API is the sandbox's.
func (f *fixture) dialGRPC(t *testing.T, options ...grpc.DialOption) *grpc.ClientConn {
	server := serveGRPC(&http.Client{Transport: f.wire}, f.api)
	conn, err := grpc.NewClient(server.target, append(options, server.dial, server.trust)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		conn.Close()
		server.Stop()
	})
	return conn
}

// grpcServer is reached over TLS, in memory.
type grpcServer struct {
	*grpc.Server
	target      string
	dial, trust grpc.DialOption
}

// serveGRPC serves the health service. It passes each call's authorization on
// to an API, whose answer decides.
func serveGRPC(client *http.Client, api string) *grpcServer {
	authorize := func(ctx context.Context) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, api, nil)
		if err != nil {
			return err
		}
		req.Header["Authorization"] = metadata.ValueFromIncomingContext(ctx, "authorization")
		if err := answered(client.Do(req)); err != nil {
			return status.Error(codes.Unauthenticated, err.Error())
		}
		return nil
	}
	certificate, roots := certificate()
	server := grpc.NewServer(
		grpc.Creds(credentials.NewServerTLSFromCert(&certificate)),
		grpc.UnaryInterceptor(func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
			if err := authorize(ctx); err != nil {
				return nil, err
			}
			return handle(ctx, req)
		}),
		grpc.StreamInterceptor(func(service any, stream grpc.ServerStream, _ *grpc.StreamServerInfo, handle grpc.StreamHandler) error {
			if err := authorize(stream.Context()); err != nil {
				return err
			}
			return handle(service, stream)
		}))
	grpc_health_v1.RegisterHealthServer(server, health.NewServer())
	listener := bufconn.Listen(1 << 16)
	go server.Serve(listener)
	dial := dialer(listener)
	return &grpcServer{
		server, "passthrough:///example.com",
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return dial(ctx, "", "") }),
		grpc.WithTransportCredentials(credentials.NewClientTLSFromCert(roots, "")),
	}
}

func dialer(listener *bufconn.Listener) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, _, _ string) (net.Conn, error) { return listener.DialContext(ctx) }
}

// certificate is for example.com, with what trusts it.
var certificate = sync.OnceValues(func() (tls.Certificate, *x509.CertPool) {
	server := httptest.NewTLSServer(nil)
	defer server.Close()
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	return server.TLS.Certificates[0], roots
})
