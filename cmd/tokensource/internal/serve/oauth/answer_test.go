package oauth

import (
	"testing"
	"time"

	"golang.org/x/oauth2"
)

// A client that keeps a token for as long as it is told never holds a dead one,
// and is never told 0 or less.
func TestExpiresIn(t *testing.T) {
	now := time.Now()
	for name, tt := range map[string]struct {
		token oauth2.Token
		want  int64
	}{
		"one that never expires":       {oauth2.Token{}, 0},
		"a long one":                   {oauth2.Token{Expiry: now.Add(300 * time.Second)}, 290},
		"near its end":                 {oauth2.Token{Expiry: now.Add(12 * time.Second)}, 6},
		"a second":                     {oauth2.Token{Expiry: now.Add(time.Second)}, 1},
		"none left":                    {oauth2.Token{Expiry: now}, 1},
		"over":                         {oauth2.Token{Expiry: now.Add(-time.Minute)}, 1},
		"single-use, just issued":      {oauth2.Token{Expiry: now, ExpiresIn: 299}, 289},
		"single-use, ready for 60 s":   {oauth2.Token{Expiry: now.Add(-time.Minute), ExpiresIn: 299}, 229},
		"shared, with both its fields": {oauth2.Token{Expiry: now.Add(100 * time.Second), ExpiresIn: 300}, 90},
	} {
		t.Run(name, func(t *testing.T) {
			if got := expiresIn(&tt.token, now); got != tt.want {
				t.Errorf("%d, want %d", got, tt.want)
			}
		})
	}
}

func TestScope(t *testing.T) {
	for name, tt := range map[string]struct {
		configured, asked string
		want              bool
	}{
		"none asked":      {"a b", "", true},
		"the same":        {"a b", "b  a", true},
		"less":            {"a b", "a", false},
		"more":            {"a", "a b", false},
		"one twice":       {"a b", "a a", false},
		"none configured": {"", "a", false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := (&Endpoint{Scope: tt.configured}).inScope(tt.asked); got != tt.want {
				t.Errorf("%v", got)
			}
		})
	}
}
