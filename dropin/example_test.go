package dropin_test

import (
	"context"
	"fmt"

	"github.com/tokensource-go/tokensource"
	"github.com/tokensource-go/tokensource/sandbox"
	"golang.org/x/oauth2"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/oauth"
	"google.golang.org/grpc/health/grpc_health_v1"
)

// oauth2.NewClient asks its source without a context, so a client for the
// token endpoint goes into the provider's HTTPClient; the context's is the base
// of the API's.
func Example_oauth2() {
	box := sandbox.New(sandbox.Config{})
	defer box.Close()
	cache := &tokensource.Cache{Source: &tokensource.Blink{Credentials: creds, BaseURL: box.URL, HTTPClient: box.Client()}}
	defer cache.Close()

	ctx := context.WithValue(context.Background(), oauth2.HTTPClient, box.Client())
	client := oauth2.NewClient(ctx, cache)
	for range 3 {
		resp, err := client.Get(box.APIURL(sandbox.Blink))
		if err != nil {
			fmt.Println(err)
			return
		}
		resp.Body.Close()
		fmt.Println(resp.Status)
	}
	fmt.Println("tokens:", box.Ledger()[sandbox.Blink].TokensIssued)
	// Output:
	// 200 OK
	// 200 OK
	// 200 OK
	// tokens: 1
}

func Example_grpc() {
	box := sandbox.NewInProcess(sandbox.Config{})
	cache := &tokensource.Cache{Source: &tokensource.Blackhawk{Credentials: creds, BaseURL: box.URL, HTTPClient: box.Client()}}
	defer cache.Close()
	addr, trust, stop := serveGRPC(box.Client(), box.APIURL(sandbox.Blackhawk))
	defer stop()

	conn, err := grpc.NewClient(addr,
		grpc.WithTransportCredentials(trust),
		grpc.WithPerRPCCredentials(oauth.TokenSource{TokenSource: cache}))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer conn.Close()
	reply, err := grpc_health_v1.NewHealthClient(conn).Check(context.Background(), &grpc_health_v1.HealthCheckRequest{})
	fmt.Println(reply.GetStatus(), err)
	// Output: SERVING <nil>
}
