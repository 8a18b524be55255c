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
// A server cannot be used there: the bubble's clock stands still while somebody
// waits for the network.
//
// # What each provider does
//
//   - Blink: POST /api/pay/v1/tokens, JSON keys; 201. Anything else under
//     /api/pay/v1/ is its protected API. The rate limit is counted in the
//     X-RateLimit-* headers and not enforced: script a 429.
//   - BlinkLegacy: POST /api/v1/pay/token and /api/v1/pay/token/refresh (which
//     takes an expired token too); 200. Anything else under /api/v1/pay/ is its
//     protected API.
//   - Flinks: POST /api/v1/authorize, credentials by HTTP Basic or in the form
//     fields Username and Password. A token starts one session, at
//     /api/v1/sessions/initiate, and then serves anything else under
//     /api/v1/sessions/. No errors are published: their bodies are empty.
//   - Blackhawk: POST /api/auth or /authentication/auth, raw HTTP Basic, the
//     header response_type in exactly this case; any scope. Its protected API
//     is all under /rewardsOrderProcessing/v1/.
//
// Wrong credentials are a 401, as are missing ones (Blink: 400, "Api key is
// required"). Every token begins with "sandbox-token-", so a test can search
// its program's output for it, as for [ID] and [Secret].
package sandbox

import (
	"cmp"
	"net/http"
	"net/http/httptest"
	"sync"
	"time"
)

// Provider names a fake provider.
type Provider string

const (
	Blink       Provider = "blink"
	BlinkLegacy Provider = "blink-legacy" // Blink's older API, with refresh
	Flinks      Provider = "flinks"
	Blackhawk   Provider = "blackhawk"
)

// Providers returns all of them.
func Providers() []Provider { return []Provider{Blink, BlinkLegacy, Flinks, Blackhawk} }

// Endpoint is a kind of endpoint of a provider.
type Endpoint string

const (
	Token   Endpoint = "token"   // creates a token
	Refresh Endpoint = "refresh" // BlinkLegacy only
	API     Endpoint = "api"     // the protected API
)

// The credentials that the sandbox accepts unless Config says otherwise.
const (
	ID     = "sandbox-id-5f1c"
	Secret = "sandbox-secret-9e07"
)

// Config is how a sandbox starts. The zero value is the documented behaviour.
type Config struct {
	ID, Secret string // default ID, Secret

	// TokenLifetime is of the tokens of all providers. Default: the documented
	// ones, which are 30 minutes (Blink), 299 s (Flinks; 599 s if
	// FlinksReusable) and 600 s (Blackhawk). Answers tell it in whole seconds,
	// rounded down.
	TokenLifetime time.Duration

	ClockOffset       time.Duration // the server's clock less ours: its Date header and expired_on
	FlinksReusable    bool          // Flinks tokens may start any number of sessions
	RequireClientCert bool          // mutual TLS: the server demands a certificate (ignored in process)
}

// Sandbox is a set of fake providers. All methods may be called at any time,
// by many goroutines.
type Sandbox struct {
	URL     string       // base URL of every provider, without a slash at the end
	Handler http.Handler // the same endpoints without a listener

	config    Config
	server    *httptest.Server // nil in process
	stop      func()           // ends the server's requests
	transport http.RoundTripper

	mu       sync.Mutex // guards what follows, and config
	scripted map[route][]Fault
	always   map[route]Fault
	tokens   map[Provider]map[string]*grant // provider → access token → what it is good for
	ledger   map[Provider]*Counts
	minute   time.Time // of Blink's rate limit,
	calls    int       // and the requests in it
}

// Counts is what happened at a provider.
type Counts struct {
	TokenRequests   int // to the token and refresh endpoints, whatever their answer
	Refreshes       int // of those, to the refresh endpoint
	TokensIssued    int
	Accepted        int // API requests answered with 2xx
	Rejected        int // API requests answered with 4xx
	ReusedSingleUse int // of those, single-use tokens presented for a second session
}

// NewInProcess returns a sandbox that does not listen: its Client reaches it in
// process, and so does any http.Client that has the Sandbox as Transport.
func NewInProcess(config Config) *Sandbox {
	config.ID = cmp.Or(config.ID, ID)
	config.Secret = cmp.Or(config.Secret, Secret)
	s := &Sandbox{
		URL:      "https://sandbox.example",
		config:   config,
		scripted: make(map[route][]Fault),
		always:   make(map[route]Fault),
		tokens:   make(map[Provider]map[string]*grant),
		ledger:   make(map[Provider]*Counts),
	}
	for _, p := range Providers() {
		s.tokens[p] = make(map[string]*grant)
		s.ledger[p] = new(Counts)
	}
	s.Handler = http.HandlerFunc(s.serveHTTP)
	s.transport = s
	return s
}

// Client returns a new client that reaches the sandbox and trusts its
// certificate; where one is demanded it holds a certificate of its own.
func (s *Sandbox) Client() *http.Client { return &http.Client{Transport: s.transport} }

// APIURL returns a URL of the provider's protected API. It takes any method and
// answers 200 or 401; the body is {"ok":true}, for Flinks a new session.
func (s *Sandbox) APIURL(p Provider) string { return s.URL + apiPaths[p] }

// Close breaks the requests under way and stops the server. It is safe to call
// it twice.
func (s *Sandbox) Close() {
	if s.server != nil {
		s.stop()
		s.Client().CloseIdleConnections()
		s.server.Close()
	}
}

// Revoke makes the provider reject every token that it has issued so far.
func (s *Sandbox) Revoke(p Provider) {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.tokens[p])
}

// SetTokenLifetime changes Config.TokenLifetime for tokens to come; 0 means the
// documented lifetimes.
func (s *Sandbox) SetTokenLifetime(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.config.TokenLifetime = d
}

// SetClockOffset changes Config.ClockOffset. Tokens expire by the server's
// clock: setting it forward ages them.
func (s *Sandbox) SetClockOffset(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.config.ClockOffset = d
}

// Ledger returns a copy of what has happened so far, with an entry for every
// provider.
func (s *Sandbox) Ledger() map[Provider]Counts {
	s.mu.Lock()
	defer s.mu.Unlock()
	ledger := make(map[Provider]Counts, len(s.ledger))
	for p, c := range s.ledger {
		ledger[p] = *c
	}
	return ledger
}
