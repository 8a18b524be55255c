package sandbox

// How a request becomes an answer: the endpoint, the fault, the counts. What a
// provider says stands in providers.go.

import (
	"cmp"
	"crypto/rand"
	"encoding/json"
	"fmt"
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

var routes = map[string]route{ // path → route
	"/api/pay/v1/tokens":        {Blink, Token},
	"/api/v1/pay/token":         {BlinkLegacy, Token},
	"/api/v1/pay/token/refresh": {BlinkLegacy, Refresh},
	"/api/v1/authorize":         {Flinks, Token},
	"/api/auth":                 {Blackhawk, Token},
	"/authentication/auth":      {Blackhawk, Token}, // the curl sample of the same page
}

// All else in the folder of such a path is the provider's API too.
var apiPaths = map[Provider]string{
	Blink:       "/api/pay/v1/intents",
	BlinkLegacy: "/api/v1/pay/intent",
	Flinks:      "/api/v1/sessions/initiate",
	Blackhawk:   "/rewardsOrderProcessing/v1/submitEgiftBulk",
}

func routeOf(path string) (at route, ok bool) {
	if at, ok = routes[path]; ok {
		return at, true
	}
	for p, api := range apiPaths {
		if strings.HasPrefix(path, api[:strings.LastIndexByte(api, '/')+1]) {
			return route{p, API}, true
		}
	}
	return route{}, false
}

// call is a request that has arrived.
type call struct {
	route
	*http.Request
	body         []byte
	responseType string    // the header response_type, if its name was sent like this
	now          time.Time // by the server's clock
}

// answer is what a call gets, before it goes out over the network or in
// process.
type answer struct {
	status int
	header http.Header
	body   []byte
	fault  Fault
}

// answer decides a call at the moment it arrives.
func (s *Sandbox) answer(r *http.Request, body []byte, responseType string) *answer {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := &call{Request: r, body: body, responseType: responseType, now: time.Now().Add(s.config.ClockOffset).UTC()}
	a := &answer{
		status: http.StatusNotFound,
		header: http.Header{"Date": {c.now.Format(http.TimeFormat)}},
	}
	var known bool
	if c.route, known = routeOf(r.URL.Path); known {
		a.fault = s.nextFault(c.route)
		s.decide(c, a)
	}
	a.distort(r.Method)
	return a
}

func (s *Sandbox) decide(c *call, a *answer) {
	f, counts := &a.fault, s.ledger[c.provider]
	switch c.endpoint {
	case Refresh:
		counts.Refreshes++
		fallthrough
	case Token:
		counts.TokenRequests++
	}
	if c.provider == Blink {
		s.blinkHeader(c, a.header)
	}
	var document string
	switch {
	case f.Break:
		return
	case f.Status != 0 && f.Status/100 != 2:
		a.status, document = failure(c.provider, f.Status)
	default:
		a.status, document = s.document(c)
	}
	if a.body = []byte(document); len(a.body) > 0 {
		a.header.Set("Content-Type", "application/json")
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
		return failure(c.provider, http.StatusMethodNotAllowed)
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

// lifetime is the documented one unless configured otherwise.
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
		return failure(c.provider, http.StatusUnauthorized)
	}
	if c.URL.Path != apiPaths[Flinks] {
		return http.StatusOK, `{"ok":true}`
	}
	if g.used && !s.config.FlinksReusable {
		s.ledger[Flinks].ReusedSingleUse++
		return failure(Flinks, http.StatusUnauthorized)
	}
	g.used = true
	return http.StatusOK, fmt.Sprintf(flinksSession, rand.Text(), rand.Text())
}

// blinkHeader sets what Blink sends along with every answer. The rate limit is
// told, not enforced.
func (s *Sandbox) blinkHeader(c *call, h http.Header) {
	const limit = 60 // a minute
	if minute := c.now.Truncate(time.Minute); !minute.Equal(s.minute) {
		s.minute, s.calls = minute, 0
	}
	s.calls++
	h.Set("X-RateLimit-Limit", strconv.Itoa(limit))
	h.Set("X-RateLimit-Remaining", strconv.Itoa(max(0, limit-s.calls)))
	h.Set("Server", "Apache/2.4.59 (Amazon Linux) OpenSSL/3.0.8")
	h.Set("Cache-Control", "no-cache, private")
	h.Set("Strict-Transport-Security", "max-age=63072000")
}
