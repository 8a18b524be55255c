package gate

import (
	"crypto/sha256"
	"errors"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/tokensource-go/tokensource/cmd/tokensource/internal/serve/listen"
)

var (
	// ErrSecret: the client secret is wrong, or there is none.
	ErrSecret = errors.New("the client secret is missing or wrong")

	// ErrTooMany: so it is, and has been too often in the last second.
	ErrTooMany = errors.New("too many wrong client secrets: wait a second")
)

// Challenge is the WWW-Authenticate of a 401.
const Challenge = `Basic realm="tokensource", charset="UTF-8"`

// Gate lets requests in by their client secret. A right one always gets in: if
// a peer's mistakes kept it out, anyone on this machine could lock out all.
type Gate struct {
	Secret *Secret

	peers   peers
	keyOnce sync.Once
	key     [sha256.Size]byte // of sessions
}

// Admit checks a secret that came with a request.
func (g *Gate) Admit(r *http.Request, candidate string) error {
	if g.Secret.Is(candidate) {
		listen.Trust(r.Context())
		return nil
	}
	return g.refuse(r)
}

// AdmitBasic checks a secret that came by HTTP Basic, the client's id being of
// no interest. RFC 6749 has the two URL-encoded; curl and many clients send
// them as they are.
func (g *Gate) AdmitBasic(r *http.Request) error {
	_, raw, ok := r.BasicAuth()
	if !ok {
		return g.refuse(r)
	}
	decoded, err := url.QueryUnescape(raw)
	if err != nil {
		decoded = raw
	}
	// Both are compared, whatever comes of the first.
	if asSent, asMeant := g.Secret.Is(raw), g.Secret.Is(decoded); !asSent && !asMeant {
		return g.refuse(r)
	}
	listen.Trust(r.Context())
	return nil
}

func (g *Gate) refuse(r *http.Request) error {
	if g.peers.mistake(peerOf(r.RemoteAddr), time.Now()) {
		return ErrTooMany
	}
	return ErrSecret
}
