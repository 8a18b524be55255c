package config

import (
	"strings"
	"testing"
)

// Whatever the file is, the answer is sources or one line with a line number.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{acme, "sources: [", "sources:\n  a: {url: https://x, form: {a: [b]}}\n", "sources:\n  blink:\n", `{"sources": {"a": {"json": {}}}}`, "&a [*a]", "---\n---\n", "? {a: b}\n: c"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		sources, err := loader().parse([]byte(text), "a directory that is not there")
		if err == nil && len(sources) == 0 {
			t.Error("neither sources nor an error")
		}
		if err != nil && (strings.Contains(err.Error(), "\n") || err.Error()[0] < '0' || err.Error()[0] > '9') {
			t.Errorf("%q", err)
		}
	})
}
