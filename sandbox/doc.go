// Package sandbox is a fake Blink, Flinks and Blackhawk for tests: of this
// library, and of programs that use it or any other client of the three.
//
// It serves their token endpoints with the documented paths, headers and
// bodies, and a protected API of each that knows which tokens are good. It
// keeps a ledger of what happened, and goes wrong on demand:
//
//	sb := sandbox.New(sandbox.Config{}) // an HTTPS server on loopback
//	defer sb.Close()
//	blink := &tokensource.Blink{
//		Credentials: tokensource.StaticCredentials(sandbox.ID, sandbox.Secret),
//		BaseURL:     sb.URL,
//		HTTPClient:  sb.Client(),
//	}
//	client := tokensource.NewClient(blink)                              // reaches its API, too
//	sb.Script(sandbox.Blink, sandbox.Token, sandbox.Fault{Status: 503}) // the first call fails
//	// ... run the program, then look at
//	sb.Ledger()[sandbox.Blink].TokenRequests
//
// [NewInProcess] is the same without a server. Nothing listens and no goroutine
// runs, so tests inside a [testing/synctest] bubble have delays, expiries and
// slow answers in no time at all:
//
//	synctest.Test(t, func(t *testing.T) {
//		sb := sandbox.NewInProcess(sandbox.Config{})
//		sb.Always(sandbox.Blink, sandbox.Token, sandbox.Fault{Delay: time.Hour})
//		// ... run the program with sb.Client() and see how long it waits
//	})
//
// A server cannot be used there: the bubble's clock stands still while a
// goroutine waits for the network.
//
// A program in another process or another language talks to a sandbox with a
// fixed Config.Addr, trusts its CertificatePEM, and lets it go wrong through
// the control API of Config.Control.
//
// # What each provider does
//
//   - Blink: POST /api/pay/v1/tokens, JSON keys; 201, chunked. Anything else
//     under /api/pay/v1/ is its protected API. The rate limit of 60 a minute is
//     told in the X-RateLimit-* headers of every answer; Config.EnforceRateLimit
//     answers what exceeds it with 429 and Retry-After.
//   - BlinkLegacy: POST /api/v1/pay/token and /api/v1/pay/token/refresh (which
//     takes an expired token too); 200. Anything else under /api/v1/pay/ is its
//     protected API.
//   - Flinks: POST /api/v1/authorize, credentials by HTTP Basic or in the form
//     fields Username and Password. A token starts one session, at
//     /api/v1/sessions/initiate, and then serves anything else under
//     /api/v1/sessions/. No errors are published, so their bodies are empty,
//     unless a Fault has a Code or a Message.
//   - Blackhawk: POST /api/auth or /authentication/auth, raw HTTP Basic, the
//     header response_type, a scope of Config.Scopes. Its protected API is all
//     under /rewardsOrderProcessing/v1/.
//
// Wrong credentials are a 401, as are missing ones (Blink: 400, "Api key is
// required").
//
// Tokens have the shape of the samples: Blink's are JWTs with the merchant's
// secret key among the claims, its refreshed ones are opaque, Flinks' are
// UUIDs, Blackhawk's are JWTs that claim a longer life than expires_in. Their
// signatures verify with no key. [TokenMark] and [FlinksTokenMark] find them in
// a program's output.
//
// # Control API
//
// With Config.Control the server itself takes orders, in JSON, for tests that
// are not written in Go:
//
//	POST /_sandbox/script   what happens from now on; 204
//	GET  /_sandbox/ledger   the counts by provider, as [Counts] names them
//	POST /_sandbox/reset    as at the start: no faults, tokens or counts; 204
//
// A script has any of these fields; the last two are for all providers:
//
//	{
//		"provider": "blink",
//		"endpoint": "token",            // default; or "refresh", "api"
//		"faults": [{"status": 503, "header": {"Retry-After": "7"}}, {"delay": "2s"}],
//		"always": {"status": 503},      // {} ends it
//		"revoke": true,                 // all tokens of the provider
//		"token_lifetime": "5s",         // "0s": the documented ones
//		"clock_offset": "-2h"
//	}
//
// They do what [Sandbox.Script], [Sandbox.Always], [Sandbox.Revoke],
// [Sandbox.SetTokenLifetime] and [Sandbox.SetClockOffset] do; the fields of a
// fault are those of [Fault]. What cannot be understood is a 400 that says why,
// and nothing of it happens.
package sandbox
