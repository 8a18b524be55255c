package sandbox

// Tokens in the shape of each provider's sample, so that a person who decodes one
// sees what a real one gives away. No signature verifies: a client has to treat
// a token as opaque, and no provider hands out a key.

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"time"
)

// Every token carries one of these texts, so that a test can search the output
// of its program for tokens, as for [ID] and [Secret].
const (
	TokenMark       = "sandbox-token-" // in Blink's and Blackhawk's: a JWT's signature begins with it
	FlinksTokenMark = "5a9db0c5-"      // begins each of Flinks', which are UUIDs
)

// The headers of the samples, and how many bytes their algorithms sign with.
const (
	hs256Header = `{"typ":"JWT","alg":"HS256"}`
	hs256Size   = 32
	rs256Header = `{"kid":"Nfon8R7OLdNcORSRQXsumwYyNg4mnPu-07g8JLL64fo","alg":"RS256"}`
	rs256Size   = 256
)

// blinkClaims are those of Blink's sample: the secret key is among them, in
// clear.
type blinkClaims struct {
	MerchantID int    `json:"merchant_id"`
	SecretKey  string `json:"secret_key"`
	Expiry     int64  `json:"exp"`
}

func (s *Sandbox) blinkToken(c *call) string {
	expiry := c.now.Add(s.lifetime(c.provider))
	return jwt(hs256Header, blinkClaims{4398, s.config.Secret, expiry.Unix()}, hs256Size)
}

// refreshedToken is no JWT, as the one of the sample is none.
func refreshedToken() string { return TokenMark + rand.Text() }

// blackhawkClaims are those of Blackhawk's sample.
type blackhawkClaims struct {
	Version  int      `json:"ver"`
	ID       string   `json:"jti"`
	Issuer   string   `json:"iss"`
	Audience string   `json:"aud"`
	IssuedAt int64    `json:"iat"`
	Expiry   int64    `json:"exp"`
	ClientID string   `json:"cid"`
	Scopes   []string `json:"scp"`
	Subject  string   `json:"sub"`
}

// blackhawkToken claims an hour, as the sample does, whatever expires_in says.
func (s *Sandbox) blackhawkToken(c *call) string {
	return jwt(rs256Header, blackhawkClaims{
		Version:  1,
		ID:       "AT." + rand.Text(),
		Issuer:   "https://dev-993107.oktapreview.com/oauth2/ausjjvpg3aa9ysNWy0h7",
		Audience: "https://www.bhnetwork.com/api",
		IssuedAt: c.now.Unix(),
		Expiry:   c.now.Add(time.Hour).Unix(),
		ClientID: s.config.ID,
		Scopes:   []string{"*/*"},
		Subject:  s.config.ID,
	}, rs256Size)
}

// flinksToken is a random (version 4) UUID but for its first group.
func flinksToken() string {
	var b [12]byte
	rand.Read(b[:])
	b[2] = b[2]&0x0f | 0x40
	b[4] = b[4]&0x3f | 0x80
	return fmt.Sprintf("%s%x-%x-%x-%x", FlinksTokenMark, b[:2], b[2:4], b[4:6], b[6:])
}

// jwt makes a token whose signature is random behind the mark.
func jwt(header string, claims any, signatureSize int) string {
	payload, err := json.Marshal(claims)
	if err != nil {
		panic(err) // the claims are strings and numbers
	}
	signature := make([]byte, signatureSize)
	rand.Read(signature)
	encode := base64.RawURLEncoding.EncodeToString
	return encode([]byte(header)) + "." + encode(payload) + "." + TokenMark + encode(signature)[len(TokenMark):]
}
