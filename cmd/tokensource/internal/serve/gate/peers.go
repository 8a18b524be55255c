package gate

// How often each peer may be wrong.

import (
	"net"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

const (
	mistakesPerSecond = 10
	maxPeers          = 4096
)

// peers has a limiter for each peer that was wrong lately. Those beyond
// maxPeers share one, so that the table cannot be made to grow.
type peers struct {
	mu     sync.Mutex
	limits map[string]*rate.Limiter // peer → mistakes
	others *rate.Limiter
	swept  time.Time
}

// mistake counts one, and reports whether it is one too many.
func (p *peers) mistake(peer string, now time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	limit := p.limits[peer]
	if limit == nil {
		limit = p.add(peer, now)
	}
	return !limit.AllowN(now, 1)
}

func (p *peers) add(peer string, now time.Time) *rate.Limiter {
	if p.limits == nil {
		p.limits, p.others = map[string]*rate.Limiter{}, newLimit()
	}
	if len(p.limits) >= maxPeers && now.Sub(p.swept) >= time.Second { // it takes a while
		p.swept = now
		for other, limit := range p.limits {
			if limit.TokensAt(now) >= mistakesPerSecond { // as good as forgotten
				delete(p.limits, other)
			}
		}
	}
	if len(p.limits) >= maxPeers {
		return p.others
	}
	limit := newLimit()
	p.limits[peer] = limit
	return limit
}

func newLimit() *rate.Limiter { return rate.NewLimiter(mistakesPerSecond, mistakesPerSecond) }

// peerOf is a host: of IPv6 the network, since a host has all of one. Those who
// come by a unix socket are one peer.
func peerOf(remoteAddr string) string {
	host, _, err := net.SplitHostPort(remoteAddr)
	if err != nil {
		return ""
	}
	addr, err := netip.ParseAddr(host)
	if err != nil {
		return ""
	}
	if addr = addr.Unmap().WithZone(""); addr.Is6() && !addr.IsLoopback() {
		network, _ := addr.Prefix(64)
		return network.String()
	}
	return addr.String()
}
