package origin

import (
	"net/url"
	"testing"
)

// What an error names can be copied into a configuration.
func TestOriginAsTheConfigurationSpellsIt(t *testing.T) {
	for at, want := range map[string]string{
		"https://api.example/path":     "https://api.example",
		"https://API.example.:443":     "https://api.example",
		"https://api.example:8443":     "https://api.example:8443",
		"http://localhost:80/":         "http://localhost",
		"https://[2001:db8::1]/":       "https://[2001:db8::1]",
		"https://[2001:DB8:0::1]:8443": "https://[2001:db8::1]:8443",
		"https://straße.example":       "https://xn--strae-oqa.example",
	} {
		u, err := url.Parse(at)
		if err != nil {
			t.Fatal(err)
		}
		if got := Of(u).String(); got != want {
			t.Errorf("the origin of %s is %s, want %s", at, got, want)
			continue
		}
		if again, err := Parse(want); err != nil || Of(again) != Of(u) {
			t.Errorf("%s as a configuration: %v, %v", want, again, err)
		}
	}
}
