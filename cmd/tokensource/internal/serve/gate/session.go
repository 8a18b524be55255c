package gate

// Sessions of the status page: what a browser keeps after one login.

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/tokensource-go/tokensource/cmd/tokensource/internal/serve/listen"
)

// sessionLife is a working day and a bit.
const sessionLife = 12 * time.Hour

// NewSession returns what shows for a while that the secret was known: the time
// of its end, signed. A rotated secret and a restart end it.
func (g *Gate) NewSession(now time.Time) (value string, expires time.Time) {
	expires = now.Add(sessionLife)
	end := strconv.FormatInt(expires.Unix(), 10)
	return end + "." + base64.RawURLEncoding.EncodeToString(g.sign(end)), expires
}

// AdmitSession checks what NewSession returned.
func (g *Gate) AdmitSession(r *http.Request, value string) bool {
	end, signature, _ := strings.Cut(value, ".")
	seconds, err := strconv.ParseInt(end, 10, 64)
	signed, err2 := base64.RawURLEncoding.DecodeString(signature)
	if err != nil || err2 != nil || !hmac.Equal(signed, g.sign(end)) || time.Now().Unix() >= seconds {
		return false
	}
	listen.Trust(r.Context())
	return true
}

func (g *Gate) sign(end string) []byte {
	g.keyOnce.Do(func() { rand.Read(g.key[:]) })
	secret := g.Secret.current()
	mac := hmac.New(sha256.New, g.key[:])
	mac.Write(secret[:])
	mac.Write([]byte(end))
	return mac.Sum(nil)
}
