package main

// How a token is printed, to stdout or into a file.

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"golang.org/x/oauth2"
)

// format is a value of --output. Tokens hold visible ASCII characters only: the
// library refuses others.
type format struct {
	name, says string
	print      func(p *provider, tok *oauth2.Token) []byte
}

// formats are in the order in which help lists them.
var formats = []format{
	{"token", "the token alone", func(_ *provider, tok *oauth2.Token) []byte {
		return []byte(tok.AccessToken + "\n")
	}},
	{"json", "an object, as credential helpers have it", func(_ *provider, tok *oauth2.Token) []byte {
		return printJSON(tok)
	}},
	{"header", "the Authorization header, for curl -H @-", func(_ *provider, tok *oauth2.Token) []byte {
		return []byte("Authorization: " + tok.Type() + " " + tok.AccessToken + "\n")
	}},
	{"env", "variables, for a shell or an EnvironmentFile", printEnv},
	{"curl", "a configuration file, for curl -K", func(_ *provider, tok *oauth2.Token) []byte {
		quoted := strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(tok.Type() + " " + tok.AccessToken)
		return []byte(`header = "Authorization: ` + quoted + "\"\n")
	}},
}

func formatNamed(name string) (format, error) {
	i := slices.IndexFunc(formats, func(f format) bool { return f.name == name })
	if i < 0 {
		return format{}, usagef("--output is one of token, json, header, env, curl")
	}
	return formats[i], nil
}

// answer is the JSON of a token and of a failure, as executable credential
// helpers have it (version, success, expiration_time; code and message). Its
// other names are those of oauth2.Token.
type answer struct {
	Version        int       `json:"version"`
	Success        bool      `json:"success"`
	AccessToken    string    `json:"access_token,omitzero"`
	TokenType      string    `json:"token_type,omitzero"`
	ExpirationTime int64     `json:"expiration_time,omitzero"` // Unix seconds
	Expiry         time.Time `json:"expiry,omitzero"`          // the same moment
	ExpiresIn      int64     `json:"expires_in,omitzero"`      // seconds from when this was printed
	Code           string    `json:"code,omitzero"`
	Message        string    `json:"message,omitzero"`
}

func (a answer) print() []byte {
	a.Version = 1
	b, err := json.Marshal(a)
	if err != nil {
		panic(err) // it is strings and numbers
	}
	return append(b, '\n')
}

func printJSON(tok *oauth2.Token) []byte {
	a := answer{Success: true, AccessToken: tok.AccessToken, TokenType: tok.Type()}
	if expiry := expiryOf(tok); !expiry.IsZero() {
		a.Expiry = expiry.UTC().Truncate(time.Second)
		a.ExpirationTime = a.Expiry.Unix()
		a.ExpiresIn = int64(time.Until(expiry).Round(time.Second) / time.Second)
	}
	return a.print()
}

// failureCodes are the codes of an answer's failure, by exit code.
var failureCodes = map[int]string{
	exitUsage: "configuration", exitCredentials: "credentials", exitTemporary: "temporary", exitOther: "other",
}

// expiryOf is zero for a token that never expires.
func expiryOf(tok *oauth2.Token) time.Time {
	if now := time.Now(); tok.ExpiresIn > 0 && !tok.Expiry.After(now) {
		// A single-use token carries its issue time as Expiry.
		return tok.Expiry.Add(time.Duration(tok.ExpiresIn) * time.Second)
	}
	return tok.Expiry
}

func printEnv(p *provider, tok *oauth2.Token) []byte {
	name := strings.ToUpper(p.name)
	variables := map[string]string{name + "_ACCESS_TOKEN": tok.AccessToken, name + "_TOKEN_TYPE": tok.Type()}
	if expiry := expiryOf(tok); !expiry.IsZero() {
		variables[name+"_EXPIRATION_TIME"] = fmt.Sprint(expiry.Unix())
	}
	var b bytes.Buffer
	for _, name := range slices.Sorted(maps.Keys(variables)) {
		fmt.Fprintf(&b, "%s=%s\n", name, shellQuote(variables[name]))
	}
	return b.Bytes()
}

var plainWord = regexp.MustCompile(`^[\w./:+=@%,~-]+$`)

// shellQuote quotes what a shell would read otherwise.
func shellQuote(s string) string {
	if plainWord.MatchString(s) {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
