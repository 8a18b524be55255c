package serve_test

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tokensource-go/tokensource/sandbox"
)

// Ten thousand token calls, over rollovers and an outage that is longer than a
// token's life: none fails while there is a token that callers may get, which is
// until a tenth of its life is left. In a bubble, where both clocks agree.
func TestTenThousandCalls(t *testing.T) {
	const (
		life       = 10 * time.Second
		margin     = life / 10
		callers    = 10
		each       = 1000
		pause      = 100 * time.Millisecond
		outage     = 41 * time.Second
		outageEnds = 60 * time.Second
		backWithin = 2 * time.Second
	)
	path := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(path, []byte(secret), 0o600); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		sb := sandbox.NewInProcess(sandbox.Config{TokenLifetime: life})
		handler := inProcess(t, path, sb)
		call := func() (status int, token string) {
			w := askInProcess(handler, secret)
			var body struct {
				AccessToken string `json:"access_token"`
			}
			if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil {
				t.Error(err)
			}
			return w.Code, body.AccessToken
		}
		accepted := func(token string) bool {
			r, err := http.NewRequest(http.MethodPost, sb.APIURL(sandbox.Blink), nil)
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Authorization", "Bearer "+token)
			resp, err := sb.Client().Do(r)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			return resp.StatusCode == http.StatusOK
		}
		began := time.Now()
		time.AfterFunc(outage, func() { sb.Always(sandbox.Blink, sandbox.Token, sandbox.Fault{Status: 503}) })
		time.AfterFunc(outageEnds, func() { sb.Always(sandbox.Blink, sandbox.Token, sandbox.Fault{}) })
		var mu sync.Mutex
		var last string
		var failed int
		var group sync.WaitGroup
		for range callers {
			group.Go(func() {
				for range each {
					time.Sleep(pause)
					status, token := call()
					mu.Lock()
					had := last
					if status == http.StatusOK {
						last = token
					} else {
						failed++
					}
					mu.Unlock()
					now := time.Since(began)
					switch {
					case status == http.StatusOK && !accepted(token):
						t.Errorf("at %v: a token that the API does not take", now)
					case status == http.StatusOK:
					case status != http.StatusServiceUnavailable || now < outage || now > outageEnds+backWithin:
						t.Errorf("at %v: %d", now, status)
					default: // the last token has no more than the margin left
						if time.Sleep(margin); accepted(had) {
							t.Errorf("at %v: a call failed beside a valid token", now)
						}
					}
				}
			})
		}
		group.Wait()
		tokens := sb.Ledger()[sandbox.Blink].TokensIssued
		if failed == 0 || tokens < 10 {
			t.Errorf("%d calls failed, %d tokens: there was no outage, or no rollovers", failed, tokens)
		}
		t.Logf("%d calls, %d tokens, %d failed while there was none", callers*each, tokens, failed)
	})
}
