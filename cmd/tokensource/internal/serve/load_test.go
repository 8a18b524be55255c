package serve_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tokensource-go/tokensource/sandbox"
)

// BenchmarkBesideABareHandler asks the server and a bare net/http handler, which
// reads as much and answers as much, in turn by the same clients over the same
// kind of connections: what else the machine does meets both alike. It reports
// the 99th percentiles and their ratio, whose goal is 1.3.
//
//	go test -run '^$' -bench BesideABareHandler -benchtime 40000x ./cmd/tokensource/internal/serve
func BenchmarkBesideABareHandler(b *testing.B) {
	s := start(b, sandbox.Config{})
	first := s.token(b, "blink")
	bare := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, first.text)
	}))
	defer bare.Close()
	for _, clients := range []int{1, 8} {
		b.Run(fmt.Sprintf("%d clients", clients), func(b *testing.B) {
			client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 2 * clients}}
			defer client.CloseIdleConnections()
			var mu sync.Mutex
			var ours, theirs []time.Duration
			var group sync.WaitGroup
			for range clients {
				group.Go(func() {
					var mine [2][]time.Duration
					for i := range 2 * (b.N/clients + 101) {
						url := []string{s.url + "/blink/token", bare.URL}[i%2]
						if took := ask(b, client, url, first.text); i >= 200 { // connections are warm
							mine[i%2] = append(mine[i%2], took)
						}
					}
					mu.Lock()
					defer mu.Unlock()
					ours, theirs = append(ours, mine[0]...), append(theirs, mine[1]...)
				})
			}
			group.Wait()
			b.ReportMetric(0, "ns/op")
			for name, p := range map[string]int{"p50": 50, "p99": 99} {
				o, t := percentile(ours, p), percentile(theirs, p)
				b.ReportMetric(float64(o.Microseconds()), "µs-"+name)
				b.ReportMetric(float64(t.Microseconds()), "bare-µs-"+name)
				b.ReportMetric(float64(o)/float64(t), "ratio-"+name)
			}
		})
	}
}

func ask(b *testing.B, client *http.Client, url, want string) time.Duration {
	req, err := http.NewRequest(http.MethodPost, url, strings.NewReader("grant_type=client_credentials"))
	if err != nil {
		b.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.SetBasicAuth("any", secret)
	began := time.Now()
	resp, err := client.Do(req)
	if err != nil {
		b.Error(err)
		return 0
	}
	body, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	took := time.Since(began)
	if err != nil || resp.StatusCode != http.StatusOK || !bytes.Equal(body[:40], []byte(want)[:40]) {
		b.Errorf("%d %s %v", resp.StatusCode, body, err)
	}
	return took
}

func percentile(d []time.Duration, p int) time.Duration {
	slices.Sort(d)
	return d[(len(d)-1)*p/100]
}
