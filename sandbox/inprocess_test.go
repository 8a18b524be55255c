package sandbox_test

// The contract of http.RoundTripper, in process, and that nothing outlives a
// call: synctest.Test fails if a goroutine does.

import (
	"context"
	"errors"
	"io"
	"maps"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tokensource-go/tokensource/sandbox"
)

func TestContextEndsDuringDelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sb := sandbox.NewInProcess(sandbox.Config{})
		sb.Always(sandbox.Blink, sandbox.Token, sandbox.Fault{Delay: time.Hour})
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		start := time.Now()
		_, err := sb.RoundTrip(tokenRequest(t, sb, sandbox.Blink).WithContext(ctx))
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != time.Minute {
			t.Errorf("deadline: got %v after %v", err, time.Since(start))
		}

		reason := errors.New("no longer wanted")
		cause, giveUp := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Second, func() { giveUp(reason) })
		if _, err := sb.RoundTrip(tokenRequest(t, sb, sandbox.Blink).WithContext(cause)); !errors.Is(err, reason) {
			t.Errorf("cancel: got %v, want the cause", err)
		}
		if got := sb.Ledger()[sandbox.Blink].TokenRequests; got != 2 {
			t.Errorf("%d requests arrived, want 2", got)
		}
		// A request whose context has ended never arrives.
		if _, err := sb.RoundTrip(tokenRequest(t, sb, sandbox.Blink).WithContext(cause)); !errors.Is(err, reason) {
			t.Errorf("ended before: got %v, want the cause", err)
		}
		if got := sb.Ledger()[sandbox.Blink].TokenRequests; got != 2 {
			t.Errorf("%d requests arrived, want 2", got)
		}
	})
}

func TestContextEndsDuringDrip(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sb := sandbox.NewInProcess(sandbox.Config{})
		sb.Always(sandbox.Blink, sandbox.Token, sandbox.Fault{Drip: time.Second})
		ctx, cancel := context.WithTimeout(t.Context(), 9*time.Second+time.Millisecond)
		defer cancel()
		resp, err := sb.RoundTrip(tokenRequest(t, sb, sandbox.Blink).WithContext(ctx))
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body) // and is not closed
		if len(body) != 10 || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %d bytes and %v", len(body), err)
		}
	})
}

func TestClientTimeout(t *testing.T) {
	for name, fault := range map[string]sandbox.Fault{
		"before the answer": {Delay: time.Hour},
		"within the answer": {Drip: time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				sb := sandbox.NewInProcess(sandbox.Config{})
				sb.Always(sandbox.Flinks, sandbox.Token, fault)
				client := sb.Client()
				client.Timeout = 5 * time.Second
				start := time.Now()
				resp, err := client.Do(tokenRequest(t, sb, sandbox.Flinks))
				if err == nil {
					_, err = io.ReadAll(resp.Body)
					resp.Body.Close()
				}
				var timeout net.Error
				if !errors.As(err, &timeout) || !timeout.Timeout() || time.Since(start) != client.Timeout {
					t.Errorf("got %v after %v", err, time.Since(start))
				}
			})
		})
	}
}

func TestResponseBodyClosedDuringRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sb := sandbox.NewInProcess(sandbox.Config{})
		sb.Script(sandbox.Blink, sandbox.Token, sandbox.Fault{Drip: time.Hour})
		resp, err := sb.RoundTrip(tokenRequest(t, sb, sandbox.Blink))
		if err != nil {
			t.Fatal(err)
		}
		time.AfterFunc(time.Second, func() { resp.Body.Close() })
		start := time.Now()
		if _, err := io.ReadAll(resp.Body); err != http.ErrBodyReadAfterClose || time.Since(start) != time.Second {
			t.Errorf("got %v after %v", err, time.Since(start))
		}
		resp.Body.Close()
		if _, err := resp.Body.Read(make([]byte, 1)); err != http.ErrBodyReadAfterClose {
			t.Errorf("reading a closed body: got %v", err)
		}
	})
}

// body counts how often it is closed, and fails with err if that is set.
type body struct {
	io.Reader
	err    error
	closed int
}

func (b *body) Read(p []byte) (int, error) {
	if b.err != nil {
		return 0, b.err
	}
	return b.Reader.Read(p)
}

func (b *body) Close() error { b.closed++; return nil }

func TestRequestBodyIsClosed(t *testing.T) {
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	lost := errors.New("the disk went away")
	for _, test := range []struct {
		name  string
		fault sandbox.Fault
		ctx   context.Context
		read  error
		want  error
	}{
		{"success", sandbox.Fault{}, t.Context(), nil, nil},
		{"refusal", sandbox.Fault{Status: 401}, t.Context(), nil, nil},
		{"break", sandbox.Fault{Break: true}, t.Context(), nil, io.EOF},
		{"ended context", sandbox.Fault{}, ended, nil, context.Canceled},
		{"unreadable body", sandbox.Fault{}, t.Context(), lost, lost},
	} {
		t.Run(test.name, func(t *testing.T) {
			sb := sandbox.NewInProcess(sandbox.Config{})
			sb.Always(sandbox.Blink, sandbox.Token, test.fault)
			b := &body{Reader: strings.NewReader(blinkKeys), err: test.read}
			r := tokenRequest(t, sb, sandbox.Blink).WithContext(test.ctx)
			r.Body = b
			resp, err := sb.RoundTrip(r)
			if err == nil {
				resp.Body.Close()
			}
			if !errors.Is(err, test.want) || b.closed != 1 {
				t.Errorf("got %v and a body closed %d times", err, b.closed)
			}
		})
	}
}

func TestRequestIsNotModified(t *testing.T) {
	sb := sandbox.NewInProcess(sandbox.Config{})
	for _, p := range sandbox.Providers() {
		r := tokenRequest(t, sb, p)
		before, header, address := *r, maps.Clone(r.Header), *r.URL
		resp, err := sb.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if !maps.EqualFunc(r.Header, header, func(a, b []string) bool { return strings.Join(a, "|") == strings.Join(b, "|") }) {
			t.Errorf("%s: the header became %v", p, r.Header)
		}
		if *r.URL != address || r.Body != before.Body || r.Method != before.Method || r.Host != before.Host ||
			r.Form != nil || r.PostForm != nil || resp.Request != r {
			t.Errorf("%s: the request became %+v", p, r)
		}
	}
}

func TestNilBodyAndHeader(t *testing.T) {
	sb := sandbox.NewInProcess(sandbox.Config{})
	for _, p := range sandbox.Providers() {
		for _, address := range []string{tokenRequest(t, sb, p).URL.String(), sb.APIURL(p)} {
			r := request(t, address, "", "")
			r.Body, r.Header = nil, nil
			resp, err := sb.RoundTrip(r)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if resp.StatusCode/100 != 4 {
				t.Errorf("%s: got %s", address, resp.Status)
			}
		}
	}
}

func TestAnyHostInProcess(t *testing.T) {
	sb := sandbox.NewInProcess(sandbox.Config{})
	sb.URL = "https://secure.blinkpayment.co.uk"
	token := newToken(t, sb, sandbox.Blink)
	sb.Script(sandbox.Blink, sandbox.API, sandbox.Fault{
		Status: http.StatusTemporaryRedirect,
		Header: http.Header{"Location": {"https://elsewhere.example/api/pay/v1/intents"}},
	})
	r := request(t, sb.APIURL(sandbox.Blink), "application/json", "{}")
	r.Header.Set("Authorization", "Bearer "+token)
	resp, _ := do(t, sb, r)
	if resp.Request.URL.Host != "elsewhere.example" || resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("got %s from %s: net/http takes the token to no other host", resp.Status, resp.Request.URL.Host)
	}
}
