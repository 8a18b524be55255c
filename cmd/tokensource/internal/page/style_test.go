package page

import (
	"math"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// colours reads the custom properties of a scheme; dark ones come on top.
func colours(t *testing.T, scheme string) map[string]string {
	light, dark, ok := strings.Cut(css, "@media (prefers-color-scheme: dark)")
	if !ok {
		t.Fatal("there is no dark scheme")
	}
	found := make(map[string]string)
	property := regexp.MustCompile(`--([a-z-]+): (#[0-9a-f]{6});`)
	sheets := []string{light}
	if scheme == "dark" {
		sheets = append(sheets, dark)
	}
	for _, sheet := range sheets {
		for _, m := range property.FindAllStringSubmatch(sheet, -1) {
			found[m[1]] = m[2]
		}
	}
	return found
}

// luminance is relative luminance as WCAG 2 defines it.
func luminance(t *testing.T, colour string) float64 {
	t.Helper()
	rgb, err := strconv.ParseUint(strings.TrimPrefix(colour, "#"), 16, 32)
	if err != nil {
		t.Fatal(err)
	}
	linear := func(c uint64) float64 {
		v := float64(c&0xff) / 255
		if v <= 0.04045 {
			return v / 12.92
		}
		return math.Pow((v+0.055)/1.055, 2.4)
	}
	return 0.2126*linear(rgb>>16) + 0.7152*linear(rgb>>8) + 0.0722*linear(rgb)
}

func contrast(t *testing.T, a, b string) float64 {
	t.Helper()
	l, m := luminance(t, a), luminance(t, b)
	return (max(l, m) + 0.05) / (min(l, m) + 0.05)
}

// WCAG 2.2 AA: 4.5 for text, 3 for what has to be told from its surroundings.
func TestContrast(t *testing.T) {
	if got := contrast(t, "#000000", "#ffffff"); math.Abs(got-21) > 1e-9 {
		t.Fatalf("black on white has a contrast of %v", got)
	}
	texts := []string{
		"text on page", "text on card", "text on failing-tint", "text on dead-tint", "muted on page", "muted on card",
		"link on page", "card on link", "well on card", "failing on card", "dead on card", "idle on card",
	}
	shapes := []string{
		"card on well", "card on failing", "card on dead", "card on idle", "dead on page", "failing on page", "well on page",
		"dead on dead-tint", "failing on failing-tint", "well on gone", "failing on gone", "muted on page",
	}
	for _, scheme := range []string{"light", "dark"} {
		of := colours(t, scheme)
		check := func(pair string, want float64) {
			front, back, _ := strings.Cut(pair, " on ")
			if of[front] == "" || of[back] == "" {
				t.Fatalf("no colour for %s", pair)
			}
			if got := contrast(t, of[front], of[back]); got < want {
				t.Errorf("%s: %s: contrast %.2f, want %v", scheme, pair, got, want)
			}
		}
		for _, pair := range texts {
			check(pair, 4.5)
		}
		for _, pair := range shapes {
			check(pair, 3)
		}
	}
	light, dark := colours(t, "light"), colours(t, "dark")
	for name := range light {
		if light[name] == dark[name] {
			t.Errorf("%s has no dark colour", name)
		}
	}
}
