package serve_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/tokensource-go/tokensource/sandbox"
)

// dial is a connection that says what no HTTP client would.
func (s *served) dial(t testing.TB) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(time.Minute))
	return conn
}

func TestHostileRequests(t *testing.T) {
	s := start(t, sandbox.Config{})
	const host = "Host: localhost\r\n"
	smuggled := "GET /healthz HTTP/1.1\r\n" + host + "\r\n"
	for name, tt := range map[string]struct {
		raw    string
		status int
	}{
		"length and chunks":               {"POST /blink/token HTTP/1.1\r\n" + host + "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + smuggled, 411},
		"chunks alone":                    {"POST /blink/token HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + smuggled, 411},
		"an encoding that there is not":   {"POST /blink/token HTTP/1.1\r\n" + host + "Transfer-Encoding: xchunked\r\n\r\n" + smuggled, 501}, // net/http's
		"a page of another origin":        {"POST /blink/invalidate HTTP/1.1\r\n" + host + "Origin: https://evil.example\r\nContent-Length: 0\r\n\r\n" + smuggled, 403},
		"a page of another local server":  {"POST /blink/invalidate HTTP/1.1\r\n" + host + "Origin: http://localhost:3000\r\nContent-Length: 0\r\n\r\n" + smuggled, 403},
		"a page, as its browser says":     {"POST /blink/token HTTP/1.1\r\n" + host + "Sec-Fetch-Site: cross-site\r\nContent-Length: 0\r\n\r\n" + smuggled, 403},
		"two lengths":                     {"POST /blink/token HTTP/1.1\r\n" + host + "Content-Length: 4\r\nContent-Length: 5\r\n\r\nabcde" + smuggled, 400},
		"a negative length":               {"POST /blink/token HTTP/1.1\r\n" + host + "Content-Length: -1\r\n\r\n" + smuggled, 400},
		"a length with a plus":            {"POST /blink/token HTTP/1.1\r\n" + host + "Content-Length: +1\r\n\r\n" + smuggled, 400},
		"a space before the colon":        {"POST /blink/token HTTP/1.1\r\n" + host + "Transfer-Encoding : chunked\r\n\r\n" + smuggled, 400},
		"a newline in a header's name":    {"POST /blink/token HTTP/1.1\r\n" + host + "A\x00B: c\r\n\r\n" + smuggled, 400},
		"a length in HTTP/1.0 and chunks": {"POST /blink/token HTTP/1.0\r\n" + host + "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
		"absolute form":                   {"GET http://localhost/healthz HTTP/1.1\r\n" + host + "\r\n" + smuggled, 400},
		"absolute form of another host":   {"GET http://evil.example/healthz HTTP/1.1\r\n" + host + "\r\n" + smuggled, 400},
		"CONNECT":                         {"CONNECT evil.example:443 HTTP/1.1\r\nHost: evil.example:443\r\n\r\n" + smuggled, 405},
		"CONNECT to a path":               {"CONNECT /blink/token HTTP/1.1\r\n" + host + "\r\n" + smuggled, 405},
		"OPTIONS *":                       {"OPTIONS * HTTP/1.1\r\n" + host + "\r\n" + smuggled, 400},
		"dots in the path":                {"GET /blink/../healthz HTTP/1.1\r\n" + host + "\r\n" + smuggled, 400},
		"escaped dots":                    {"GET /blink/%2e%2e/healthz HTTP/1.1\r\n" + host + "\r\n" + smuggled, 400},
		"an escaped slash":                {"GET /blink%2ftoken HTTP/1.1\r\n" + host + "\r\n" + smuggled, 400},
		"a backslash":                     {"GET /blink\\..\\token HTTP/1.1\r\n" + host + "\r\n" + smuggled, 400},
		"two slashes":                     {"GET //evil.example/ HTTP/1.1\r\n" + host + "\r\n" + smuggled, 400},
		"a path that is not UTF-8":        {"GET /\xff\xfe HTTP/1.1\r\n" + host + "\r\n" + smuggled, 400},
		"escaped, not UTF-8":              {"GET /%ff%fe HTTP/1.1\r\n" + host + "\r\n" + smuggled, 400},
		"an escaped NUL":                  {"GET /blink/token%00 HTTP/1.1\r\n" + host + "\r\n" + smuggled, 400},
		"headers of 64 KiB":               {"GET /healthz HTTP/1.1\r\n" + host + "A: " + strings.Repeat("a", 64<<10) + "\r\n\r\n", 431},
		"ten thousand headers":            {"GET /healthz HTTP/1.1\r\n" + host + strings.Repeat("A: a\r\n", 10_000) + "\r\n", 431},
		"a path of 64 KiB":                {"GET /" + strings.Repeat("a", 64<<10) + " HTTP/1.1\r\n" + host + "\r\n", 431},
		"another machine's name":          {"GET /healthz HTTP/1.1\r\nHost: evil.example\r\n\r\n" + smuggled, 421},
		"no Host":                         {"GET /healthz HTTP/1.1\r\n\r\n" + smuggled, 400},
		"two Hosts":                       {"GET /healthz HTTP/1.1\r\n" + host + "Host: evil.example\r\n\r\n" + smuggled, 400},
		"no Host in HTTP/1.0":             {"GET /healthz HTTP/1.0\r\n\r\n", 421},
		"a body that is announced only":   {"POST /blink/token HTTP/1.1\r\n" + host + "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 1000000000\r\nExpect: 100-continue\r\n\r\n", 413},
		"a method that there is not":      {"BREW /blink/token HTTP/1.1\r\n" + host + "\r\n", 405},
		"TLS":                             {"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400},
		"the preface of HTTP/2":           {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400},
		"no HTTP at all":                  {"hello\r\n\r\n", 400},
	} {
		t.Run(name, func(t *testing.T) {
			conn := s.dial(t)
			go io.WriteString(conn, tt.raw)
			r := bufio.NewReader(conn)
			resp, err := http.ReadResponse(r, nil)
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(resp.Body)
			if resp.StatusCode != tt.status || len(body) == 0 {
				t.Errorf("%s: %q %v", resp.Status, body, err)
			}
			if strings.HasSuffix(tt.raw, smuggled) {
				if rest, err := io.ReadAll(r); len(rest) > 0 {
					t.Errorf("what follows was taken for a request: %q %v", rest, err)
				}
			}
		})
	}
	if r := s.token(t, "blink"); r.status != http.StatusOK {
		t.Errorf("afterwards: %d %s", r.status, r.text)
	}
}

// Those who dawdle are cut off, and those who know the secret notice nothing.
func TestSlowClients(t *testing.T) {
	t.Parallel()
	s := start(t, sandbox.Config{})
	for name, beginning := range map[string]string{
		"nothing at all":     "",
		"half a header":      "POST /blink/token HTTP/1.1\r\nHost: localhost\r\nA: ",
		"half a body":        "POST /blink/token HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 100\r\n\r\ngrant_type=",
		"a header at a time": "GET /healthz HTTP/1.1\r\nHost: localhost\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn := s.dial(t)
			io.WriteString(conn, beginning)
			if name == "a header at a time" {
				ticker := time.NewTicker(100 * time.Millisecond)
				defer ticker.Stop()
				go func() {
					for range ticker.C {
						if _, err := io.WriteString(conn, "A: b\r\n"); err != nil {
							return
						}
					}
				}()
			}
			if _, err := io.ReadAll(conn); errors.Is(err, io.ErrUnexpectedEOF) || isTimeout(err) {
				t.Errorf("the connection is still open: %v", err)
			}
			if r := s.token(t, "blink"); r.status != http.StatusOK {
				t.Errorf("meanwhile: %d %s", r.status, r.text)
			}
		})
	}
}

func isTimeout(err error) bool {
	var ne net.Error
	return errors.As(err, &ne) && ne.Timeout()
}

// However many connections say nothing or do not know the secret, a new one
// that does is served at once, and one that has shown it stays.
func TestManyConnections(t *testing.T) {
	s := start(t, sandbox.Config{})
	good := &http.Client{Transport: &http.Transport{MaxIdleConns: 1}}
	if r := do(t, good, s.request(t, "/blink/token", grant)); r.status != http.StatusOK {
		t.Fatalf("%d %s", r.status, r.text)
	}
	for i := range 3000 {
		conn := s.dial(t)
		switch i % 3 {
		case 1:
			io.WriteString(conn, "POST /blink/token HTTP/1.1\r\nHost: localhost\r\nA: ")
		case 2:
			fmt.Fprintf(conn, "POST /blink/token HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 50\r\n\r\n")
		}
	}
	began := time.Now()
	if r := s.token(t, "blink"); r.status != http.StatusOK {
		t.Errorf("a new client: %d %s", r.status, r.text)
	}
	reused := false
	req := s.request(t, "/blink/token", grant)
	req = req.WithContext(withReuse(req.Context(), &reused))
	if r := do(t, good, req); r.status != http.StatusOK || !reused {
		t.Errorf("an old client: %d, reused %v", r.status, reused)
	}
	t.Logf("both in %v beside 3,000 silent connections", time.Since(began))
}
