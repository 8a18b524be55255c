package tokensource_test

// A 401 that the replay replaces: nobody else will read or close it.

import (
	"compress/gzip"
	"context"
	"errors"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tokensource-go/tokensource"
)

// It is drained where that costs little, so that its connection serves the
// replay; else it is closed.
func TestTransportDropsTheFirst401(t *testing.T) {
	zeros := make([]byte, 32<<10)
	endless := func(w http.ResponseWriter, _ *http.Request) {
		for range 64 << 20 / len(zeros) {
			if _, err := w.Write(zeros); err != nil {
				return
			}
		}
		t.Error("64 MiB were read")
	}
	drip := func(w http.ResponseWriter, r *http.Request) {
		w.Write(zeros[:1])
		http.NewResponseController(w).Flush()
		<-r.Context().Done() // the connection or the stream is closed
	}
	for _, tt := range []struct {
		name   string
		http2  bool
		header http.Header
		body   http.HandlerFunc
		conns  int32
	}{
		{"no body", false, nil, func(http.ResponseWriter, *http.Request) {}, 1},
		{"small body", false, nil, func(w http.ResponseWriter, _ *http.Request) { w.Write(zeros[:1000]) }, 1},
		{"small body in chunks", false, nil, func(w http.ResponseWriter, _ *http.Request) {
			w.Write(zeros[:500])
			http.NewResponseController(w).Flush()
			w.Write(zeros[:500])
		}, 1},
		{"huge body", false, http.Header{"Content-Length": {"1000000000"}}, endless, 2},
		{"huge body of unknown length", false, nil, endless, 2},
		{"slow drip", false, nil, drip, 2},
		{"slow drip, compressed", false, http.Header{"Content-Encoding": {"gzip"}}, func(w http.ResponseWriter, r *http.Request) {
			z := gzip.NewWriter(w)
			z.Write(zeros[:1])
			z.Flush()
			http.NewResponseController(w).Flush()
			<-r.Context().Done()
		}, 2},
		{"huge body over HTTP/2", true, nil, endless, 1},
		{"slow drip over HTTP/2", true, nil, drip, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var conns atomic.Int32
			server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if tt.http2 != (r.ProtoMajor == 2) {
					t.Errorf("served over %s", r.Proto)
				}
				if r.Header.Get("Authorization") == "Bearer token-1" {
					maps.Copy(w.Header(), tt.header)
					w.WriteHeader(http.StatusUnauthorized)
					tt.body(w, r)
				}
			}))
			server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
				if state == http.StateNew {
					conns.Add(1)
				}
			}
			server.EnableHTTP2 = tt.http2
			server.StartTLS()
			defer server.Close()
			ctx, stop := context.WithTimeout(t.Context(), 10*time.Second)
			defer stop()
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, server.URL, nil)
			if err != nil {
				t.Fatal(err)
			}
			tr := &tokensource.Transport{Source: new(scriptedSource), Base: server.Client().Transport}
			resp, err := tr.RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if resp.StatusCode != http.StatusOK || conns.Load() != tt.conns {
				t.Errorf("status %d over %d connections, want 200 over %d", resp.StatusCode, conns.Load(), tt.conns)
			}
		})
	}
}

// The same in virtual time: how long a replay is held up.
func TestTransportDropsTheFirst401InTime(t *testing.T) {
	for _, tt := range []struct {
		name   string
		length int64
		most   time.Duration
	}{
		{"unknown length", -1, 100 * time.Millisecond},
		{"small", 100, 100 * time.Millisecond},
		{"huge", 1 << 30, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				silent, server := io.Pipe()
				tr := &tokensource.Transport{
					Source: new(scriptedSource),
					Base: baseFunc(func(req *http.Request) (*http.Response, error) {
						if req.Header.Get("Authorization") == "Bearer token-1" {
							return &http.Response{StatusCode: 401, Body: silent, ContentLength: tt.length}, nil
						}
						return &http.Response{StatusCode: 200, Body: http.NoBody}, nil
					}),
				}
				start := time.Now()
				resp, err := tr.RoundTrip(httptest.NewRequest(http.MethodGet, "https://api.example/", nil))
				if err != nil || resp.StatusCode != http.StatusOK {
					t.Fatal(resp, err)
				}
				if held := time.Since(start); held > tt.most {
					t.Errorf("held up for %v, want at most %v", held, tt.most)
				}
				if _, err := server.Write([]byte("late")); !errors.Is(err, io.ErrClosedPipe) {
					t.Errorf("the 401's body was not closed: %v", err)
				}
			})
		})
	}
}
