package dropin_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/tokensource-go/tokensource"
	"github.com/tokensource-go/tokensource/sandbox"
	"golang.org/x/oauth2"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
)

// PerRPC adds a Cache's token to each call of a connection, as oauth.TokenSource
// of google.golang.org/grpc/credentials/oauth does. Unlike that, it waits for a
// token no longer than the call's deadline allows, and a token that the server
// rejects is replaced: use all of its options.
type PerRPC struct{ Cache *tokensource.Cache }

// Options are to be passed to grpc.NewClient.
func (p PerRPC) Options() []grpc.DialOption {
	return []grpc.DialOption{
		grpc.WithPerRPCCredentials(p),
		grpc.WithChainUnaryInterceptor(p.unary),
		grpc.WithChainStreamInterceptor(p.stream),
	}
}

// RequireTransportSecurity implements credentials.PerRPCCredentials.
func (PerRPC) RequireTransportSecurity() bool { return true }

// GetRequestMetadata implements credentials.PerRPCCredentials. An error that is
// no status would become Unauthenticated, whatever its cause.
func (p PerRPC) GetRequestMetadata(ctx context.Context, _ ...string) (map[string]string, error) {
	info, _ := credentials.RequestInfoFromContext(ctx)
	if err := credentials.CheckSecurityLevel(info.AuthInfo, credentials.PrivacyAndIntegrity); err != nil {
		return nil, status.Error(codes.Unauthenticated, err.Error())
	}
	tok, err := p.Cache.TokenContext(ctx)
	var e *tokensource.Error
	switch {
	case err != nil && ctx.Err() != nil:
		return nil, status.FromContextError(ctx.Err()).Err()
	case errors.As(err, &e) && e.Temporary():
		return nil, status.Error(codes.Unavailable, err.Error())
	case err != nil:
		return nil, status.Error(codes.Unauthenticated, err.Error())
	}
	if c, ok := ctx.Value(attemptKey{}).(*attempt); ok {
		c.sent.Store(tok)
	}
	return map[string]string{"authorization": tok.Type() + " " + tok.AccessToken}, nil
}

// attempt notes the token that a call was sent with.
type attempt struct{ sent atomic.Pointer[oauth2.Token] }

type attemptKey struct{}

func noting(ctx context.Context) (context.Context, *attempt) {
	a := new(attempt)
	return context.WithValue(ctx, attemptKey{}, a), a
}

// rejected invalidates a token that the server rejected, and reports whether
// there is another to try.
func (p PerRPC) rejected(ctx context.Context, a *attempt, err error) bool {
	sent := a.sent.Load()
	if sent == nil || status.Code(err) != codes.Unauthenticated {
		return false
	}
	p.Cache.Invalidate(sent)
	next, err := p.Cache.TokenContext(ctx)
	return err == nil && next.AccessToken != sent.AccessToken
}

// unary makes a call, and makes it once more if its token was rejected.
func (p PerRPC) unary(ctx context.Context, method string, req, reply any, conn *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	ctx, a := noting(ctx)
	err := invoke(ctx, method, req, reply, conn, opts...)
	if p.rejected(ctx, a, err) {
		return invoke(ctx, method, req, reply, conn, opts...)
	}
	return err
}

// stream does so with a stream of answers to one request. A stream of requests
// cannot be sent again: the next call has another token.
func (p PerRPC) stream(ctx context.Context, desc *grpc.StreamDesc, conn *grpc.ClientConn, method string, open grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	ctx, a := noting(ctx)
	first, err := open(ctx, desc, conn, method, opts...)
	if err != nil {
		return nil, err
	}
	return &stream{
		ClientStream: first,
		requests:     desc.ClientStreams,
		rejected:     func(err error) bool { return p.rejected(ctx, a, err) },
		reopen:       func() (grpc.ClientStream, error) { return open(ctx, desc, conn, method, opts...) },
	}, nil
}

type stream struct {
	grpc.ClientStream
	requests bool // any number of them
	request  any
	answered bool
	rejected func(error) bool
	reopen   func() (grpc.ClientStream, error)
}

func (s *stream) SendMsg(m any) error {
	if !s.requests {
		s.request = m
	}
	return s.ClientStream.SendMsg(m)
}

func (s *stream) RecvMsg(m any) error {
	err := s.ClientStream.RecvMsg(m)
	first := !s.answered
	s.answered = true
	if !first || err == nil || !s.rejected(err) || s.requests {
		return err
	}
	again, openErr := s.reopen()
	if openErr != nil {
		return err
	}
	s.ClientStream = again
	if err := errors.Join(again.SendMsg(s.request), again.CloseSend()); err != nil {
		return err
	}
	return again.RecvMsg(m)
}

// A revoked token is replaced, and the caller does not notice.
func Example_grpc() {
	box := sandbox.NewInProcess(sandbox.Config{})
	cache := &tokensource.Cache{Source: &tokensource.Blackhawk{Credentials: creds, BaseURL: box.URL, HTTPClient: box.Client()}}
	defer cache.Close()
	server := serveGRPC(box.Client(), box.APIURL(sandbox.Blackhawk))
	defer server.Stop()

	conn, err := grpc.NewClient(server.target, append(PerRPC{cache}.Options(), server.dial, server.trust)...)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer conn.Close()
	for range 2 {
		reply, err := grpc_health_v1.NewHealthClient(conn).Check(context.Background(), &grpc_health_v1.HealthCheckRequest{})
		fmt.Println(reply.GetStatus(), err)
		box.Revoke(sandbox.Blackhawk)
	}
	fmt.Println("tokens:", box.Ledger()[sandbox.Blackhawk].TokensIssued)
	// Output:
	// SERVING <nil>
	// SERVING <nil>
	// tokens: 2
}
