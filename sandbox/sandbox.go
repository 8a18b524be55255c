package sandbox

// The sandbox as Go sees it: configuration, life and ledger.

import (
	"cmp"
	"net/http"
	"net/http/httptest"
	"slices"
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

	ClockOffset time.Duration // the server's clock less the local one: its Date header and expired_on

	FlinksReusable   bool     // Flinks tokens may start any number of sessions
	EnforceRateLimit bool     // Blink refuses what exceeds its rate limit
	Scopes           []string // of Blackhawk, besides the default "*/default/*"; others are invalid_scope. Nil takes any

	// ExactHeaderCase makes Blackhawk refuse the header response_type in any
	// other case. Behind a server of the caller's the case cannot be known.
	ExactHeaderCase bool

	// What follows is ignored in process.

	// Addr is where the server listens, such as "127.0.0.1:8443"; its host is in
	// the certificate too. Default: a free port on loopback.
	Addr              string
	RequireClientCert bool // mutual TLS: the server demands a certificate
	Control           bool // the server, and Handler, have the control API under /_sandbox/ too: see the package comment
}

// Sandbox is a set of fake providers. All methods may be called at any time,
// also concurrently.
type Sandbox struct {
	URL     string       // base URL of every provider, without a slash at the end
	Handler http.Handler // the same endpoints without a listener

	server    *httptest.Server // nil in process
	stop      func()           // ends the server's requests
	authority []byte           // PEM; nil in process
	transport http.RoundTripper
	initial   Config

	mu       sync.Mutex // guards what follows
	config   Config
	scripted map[route][]Fault
	always   map[route]Fault
	tokens   map[Provider]map[string]*grant // provider → access token → what it is good for
	ledger   map[Provider]*Counts
	minute   time.Time // of Blink's rate limit,
	calls    int       // and the requests in it
}

// Counts is what happened at a provider.
type Counts struct {
	TokenRequests   int `json:"token_requests"` // to the token and refresh endpoints, whatever their answer
	Refreshes       int `json:"refreshes"`      // of those, to the refresh endpoint
	TokensIssued    int `json:"tokens_issued"`
	Accepted        int `json:"accepted"`          // API requests answered with 2xx
	Rejected        int `json:"rejected"`          // API requests answered with 4xx
	ReusedSingleUse int `json:"reused_single_use"` // of those, single-use tokens presented for a second session
}

// NewInProcess returns a sandbox that does not listen: its Client reaches it in
// process, and so does any http.Client that has the Sandbox as Transport.
func NewInProcess(config Config) *Sandbox {
	config.ID = cmp.Or(config.ID, ID)
	config.Secret = cmp.Or(config.Secret, Secret)
	config.Scopes = slices.Clone(config.Scopes)
	s := &Sandbox{URL: "https://sandbox.example", initial: config}
	s.Reset()
	s.Handler = http.HandlerFunc(s.serveHTTP)
	if config.Control {
		s.Handler = s.withControl(s.Handler)
	}
	s.transport = s
	return s
}

// Reset makes the sandbox what it was at its start: as its Config says, with no
// faults, no tokens and an empty ledger.
func (s *Sandbox) Reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.config = s.initial
	s.scripted = make(map[route][]Fault)
	s.always = make(map[route]Fault)
	s.tokens = make(map[Provider]map[string]*grant)
	s.ledger = make(map[Provider]*Counts)
	for _, p := range Providers() {
		s.tokens[p] = make(map[string]*grant)
		s.ledger[p] = new(Counts)
	}
	s.minute, s.calls = time.Time{}, 0
}

// Client returns a new client that reaches the sandbox, over the network or in
// process, and trusts its certificate; if one is demanded it holds a certificate
// of its own. It serves as the HTTPClient of a provider of tokensource, and its
// Transport as the Base of a tokensource.Transport.
func (s *Sandbox) Client() *http.Client { return &http.Client{Transport: s.transport} }

// TokenURL returns the URL at which the provider creates tokens.
func (s *Sandbox) TokenURL(p Provider) string { return s.URL + tokenPaths[p] }

// APIURL returns a URL of the provider's protected API. It takes any method and
// answers 200 or 401; the body is {"ok":true}, for Flinks a new session.
func (s *Sandbox) APIURL(p Provider) string { return s.URL + apiPaths[p] }

// Close breaks the requests under way and stops the server. It may be called
// twice.
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

// Ledger returns a copy of what has happened so far, with an entry for each
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
