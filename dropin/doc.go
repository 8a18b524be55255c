// Package dropin is empty. Its tests run tokensource inside other people's
// code, unchanged and over the wire: golang.org/x/oauth2, gRPC's oauth
// credentials, go-retryablehttp, resty and the standard library's reverse
// proxy. What arrived is counted by the sandbox's ledger.
//
// Each test is also the recipe for its library. They live in a module of their
// own so that none of these libraries enters the go.mod of whoever uses
// tokensource.
package dropin
