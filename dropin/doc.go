// Package dropin is empty. Its tests run tokensource inside other people's
// code, unchanged: golang.org/x/oauth2, gRPC, google.golang.org/api, client-go,
// azcore, smithy-go, go-github, godo, go-retryablehttp, resty and the standard
// library's reverse proxy. What arrived is counted by the sandbox's ledger.
//
// Each test is also the recipe for its library; README.md has the table of what
// each of them survives. They live in a module of their own so that none of
// these libraries enters the go.mod of a program that uses tokensource.
package dropin
