package serve_test

import (
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tokensource-go/tokensource/sandbox"
)

// Ten thousand token calls, over rollovers and an outage that is longer than a
// token's life: none fails while there is a token that callers may get, which is
// until a tenth of its life is left.
func TestTenThousandCalls(t *testing.T) {
	t.Parallel()
	const (
		life    = 2 * time.Second
		margin  = life / 10
		callers = 8
	)
	s := start(t, sandbox.Config{TokenLifetime: life})
	var (
		calls, failed, wrong atomic.Int64
		last                 atomic.Value // the token handed out last
		stop                 = make(chan struct{})
		group                sync.WaitGroup
	)
	last.Store("")
	call := func() {
		r := s.token(t, "blink")
		now := time.Now()
		calls.Add(1)
		switch r.status {
		case http.StatusOK:
			last.Store(r.body["access_token"])
		case http.StatusServiceUnavailable:
			// If the API still takes the last token when the margin is over, it
			// was one to hand out. Only then does the answer prove anything.
			failed.Add(1)
			token := last.Load()
			if failed.Load()%20 == 1 {
				<-time.After(time.Until(now.Add(margin)))
				if token == last.Load() && s.accepts(t, sandbox.Blink, token) {
					wrong.Add(1)
				}
			}
		default:
			t.Errorf("%d %s", r.status, r.text)
		}
	}
	for range callers {
		group.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					call()
				}
			}
		})
	}
	issued := func() int { return s.Ledger()[sandbox.Blink].TokensIssued }
	eventually(t, func() bool { return issued() >= 3 }) // two rollovers
	s.Always(sandbox.Blink, sandbox.Token, sandbox.Fault{Status: 503})
	eventually(t, func() bool { return failed.Load() > 100 })
	s.Always(sandbox.Blink, sandbox.Token, sandbox.Fault{})
	before := issued()
	eventually(t, func() bool { return issued() > before+1 && calls.Load() >= 10_000 })
	close(stop)
	group.Wait()
	if wrong.Load() > 0 {
		t.Errorf("%d calls failed beside a valid token", wrong.Load())
	}
	if r := s.token(t, "blink"); r.status != http.StatusOK {
		t.Errorf("after the outage: %d %s", r.status, r.text)
	}
	t.Logf("%d calls, %d tokens, %d failed while there was none", calls.Load(), issued(), failed.Load())
}
