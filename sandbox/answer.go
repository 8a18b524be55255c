package sandbox

// How a request becomes an answer: the endpoint, the fault, the counts. What a
// provider says is in providers.go.

import (
	"cmp"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// route is an endpoint of a provider.
type route struct {
	provider Provider
	endpoint Endpoint
}

var tokenPaths = map[Provider]string{
	Blink:       "/api/pay/v1/tokens",
	BlinkLegacy: "/api/v1/pay/token",
	Flinks:      "/api/v1/authorize",
	Blackhawk:   "/api/auth",
}

// apiPaths has one path of each provider's API; anything else in its folder
// belongs to the API too.
var apiPaths = map[Provider]string{
	Blink:       "/api/pay/v1/intents",
	BlinkLegacy: "/api/v1/pay/intent",
	Flinks:      "/api/v1/sessions/initiate",
	Blackhawk:   "/rewardsOrderProcessing/v1/submitEgiftBulk",
}

func routeOf(path string) (at route, ok bool) {
	switch path {
	case "/api/v1/pay/token/refresh":
		return route{BlinkLegacy, Refresh}, true
	case "/authentication/auth": // the curl sample of the same page
		return route{Blackhawk, Token}, true
	}
	for p, api := range apiPaths {
		switch {
		case path == tokenPaths[p]:
			return route{p, Token}, true
		case strings.HasPrefix(path, api[:strings.LastIndexByte(api, '/')+1]):
			at, ok = route{p, API}, true
		}
	}
	return at, ok
}

// call is a request that has arrived.
type call struct {
	route
	*http.Request
	body         []byte
	responseType spelled
	now          time.Time // by the server's clock
	fault        Fault
}

// spelled is a header with its name as it was sent.
type spelled struct{ name, value string }

const responseTypeName = "response_type" // as Blackhawk demands it

// answer is what a call gets, before it goes out over the network or in
// process.
type answer struct {
	status  int
	header  http.Header
	body    []byte
	chunked bool // sent without a Content-Length
	fault   Fault
}

// answer decides a call at the moment it arrives.
func (s *Sandbox) answer(r *http.Request, body []byte, responseType spelled) *answer {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := &call{Request: r, body: body, responseType: responseType, now: time.Now().Add(s.config.ClockOffset).UTC()}
	a := &answer{status: http.StatusNotFound, header: make(http.Header)}
	var known bool
	if c.route, known = routeOf(r.URL.Path); known {
		c.fault = s.nextFault(c.route)
		a.fault = c.fault
		s.decide(c, a)
	}
	a.header.Set("Date", c.now.Add(c.fault.DateOffset).Format(http.TimeFormat))
	a.distort(r.Method)
	return a
}

func (s *Sandbox) decide(c *call, a *answer) {
	f, counts := &c.fault, s.ledger[c.provider]
	switch c.endpoint {
	case Refresh:
		counts.Refreshes++
		fallthrough
	case Token:
		counts.TokenRequests++
	}
	var wait time.Duration
	if c.provider == Blink {
		a.chunked = c.endpoint == Token
		wait = s.limitRate(c, a.header)
	}
	var document string
	switch {
	case f.Break:
		return
	case f.Status != 0 && f.Status/100 != 2:
		a.status, document = f.Status, failure(c.provider, f.Status, f.Code, f.Message)
	case wait > 0:
		a.status, document = c.refuse(http.StatusTooManyRequests)
		a.header.Set("Retry-After", strconv.Itoa(int(math.Ceil(wait.Seconds()))))
	default:
		a.status, document = s.document(c)
	}
	if a.body = []byte(document); len(a.body) > 0 {
		a.header.Set("Content-Type", "application/json")
	}
	if a.status == http.StatusMethodNotAllowed {
		a.header.Set("Allow", http.MethodPost)
	}
	good := a.status/100 == 2
	if good {
		a.body = f.patch(a.body)
		a.status = cmp.Or(f.Status, a.status)
	}
	switch {
	case good && c.endpoint == API:
		counts.Accepted++
	case good && f.Body == "":
		s.issue(c, a.body)
	case c.endpoint == API && a.status/100 == 4:
		counts.Rejected++
	}
}

// document makes the documented answer; its status says whether the call is
// good.
func (s *Sandbox) document(c *call) (status int, document string) {
	switch {
	case c.endpoint == API:
		return s.protected(c)
	case c.Method != http.MethodPost:
		return c.refuse(http.StatusMethodNotAllowed)
	case c.endpoint == Refresh:
		return s.blinkRefresh(c)
	case c.provider == Flinks:
		return s.flinks(c)
	case c.provider == Blackhawk:
		return s.blackhawk(c)
	}
	return s.blinkCreate(c)
}

// grant is what a provider remembers of a token.
type grant struct {
	expiry time.Time // by the server's clock
	used   bool      // it has started a session
}

// issue makes good the token that an answer hands out, a patched one too.
func (s *Sandbox) issue(c *call, body []byte) {
	var document struct {
		AccessToken any `json:"access_token"`
	}
	if json.Unmarshal(body, &document) != nil {
		return
	}
	if token, ok := document.AccessToken.(string); ok && token != "" {
		s.tokens[c.provider][token] = &grant{expiry: c.now.Add(s.lifetime(c.provider))}
		s.ledger[c.provider].TokensIssued++
	}
}

// lifetime is the documented one, unless the configuration says otherwise.
func (s *Sandbox) lifetime(p Provider) time.Duration {
	documented := 30 * time.Minute
	switch {
	case p == Flinks && s.config.FlinksReusable:
		documented = 599 * time.Second
	case p == Flinks:
		documented = 299 * time.Second
	case p == Blackhawk:
		documented = 600 * time.Second
	}
	return cmp.Or(s.config.TokenLifetime, documented)
}

// expiresIn is the lifetime as the wire has it.
func (s *Sandbox) expiresIn(p Provider) int64 { return int64(s.lifetime(p) / time.Second) }

// protected is any provider's API.
func (s *Sandbox) protected(c *call) (status int, document string) {
	scheme, token, _ := strings.Cut(c.Header.Get("Authorization"), " ")
	g := s.tokens[c.provider][token]
	if !strings.EqualFold(scheme, "Bearer") || g == nil || !c.now.Before(g.expiry) {
		return c.refuse(http.StatusUnauthorized)
	}
	if c.URL.Path != apiPaths[Flinks] {
		return http.StatusOK, `{"ok":true}`
	}
	if g.used && !s.config.FlinksReusable {
		s.ledger[Flinks].ReusedSingleUse++
		return c.refuse(http.StatusUnauthorized)
	}
	g.used = true
	return http.StatusOK, fmt.Sprintf(flinksSession, rand.Text(), rand.Text())
}
