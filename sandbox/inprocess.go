package sandbox

// The sandbox without a network. Everything happens on the caller's goroutine,
// so there is none to leak, and in a synctest bubble every wait is in the
// bubble's time.

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"strconv"
	"strings"
	"time"
)

const maxRequest = 1 << 20 // bytes of a request's body that are looked at

// RoundTrip implements [http.RoundTripper]: it answers in process, any host
// will do, and it waits no longer than the request's context allows.
func (s *Sandbox) RoundTrip(req *http.Request) (*http.Response, error) {
	var request []byte
	if req.Body != nil {
		defer req.Body.Close()
	}
	ctx := req.Context()
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if req.Body != nil {
		var err error
		if request, err = io.ReadAll(io.LimitReader(req.Body, maxRequest)); err != nil {
			return nil, err
		}
	}
	var responseType spelled
	for name, values := range req.Header { // net/http's client sends a name as its key is spelled
		if strings.EqualFold(name, responseTypeName) {
			responseType = spelled{name, strings.Join(values, ",")}
		}
	}
	a := s.answer(req, request, responseType)
	body, err := a.begin(ctx)
	if err != nil {
		return nil, err
	}
	maps.DeleteFunc(a.header, func(_ string, values []string) bool { return len(values) == 0 })
	resp := &http.Response{
		Status:     fmt.Sprintf("%d %s", a.status, http.StatusText(a.status)),
		StatusCode: a.status,
		Proto:      "HTTP/1.1",
		ProtoMajor: 1,
		ProtoMinor: 1,
		Header:     a.header,
		Body:       body,
		Request:    req,
	}
	if a.chunked {
		resp.ContentLength, resp.TransferEncoding = -1, []string{"chunked"}
	} else {
		resp.ContentLength, _ = strconv.ParseInt(a.header.Get("Content-Length"), 10, 64)
	}
	return resp, nil
}

// begin waits until the answer begins. The body drips and breaks off as the
// fault says, over the network and in process alike.
func (a *answer) begin(ctx context.Context) (io.ReadCloser, error) {
	if err := pause(ctx, a.fault.Delay); err != nil {
		return nil, err
	}
	if a.fault.Break {
		return nil, io.EOF // as net/http has it
	}
	b := &body{left: a.body, drip: a.fault.Drip, end: io.EOF}
	b.ctx, b.cancel = context.WithCancelCause(ctx)
	if n := a.fault.TruncateAt; n > 0 && n < len(b.left) {
		b.left, b.end = b.left[:n], io.ErrUnexpectedEOF
	}
	return b, nil
}

// body is the body of an answer. Close may be called while a Read waits, as
// net/http allows.
type body struct {
	ctx    context.Context // ends with the request's, or with Close
	cancel context.CancelCauseFunc
	left   []byte
	drip   time.Duration
	begun  bool
	end    error // after the last byte
}

func (b *body) Read(p []byte) (int, error) {
	if b.ctx.Err() != nil {
		return 0, context.Cause(b.ctx)
	}
	if len(b.left) == 0 {
		return 0, b.end
	}
	if b.drip > 0 && len(p) > 0 {
		if b.begun {
			if err := pause(b.ctx, b.drip); err != nil {
				return 0, err
			}
		}
		p = p[:1]
	}
	b.begun = true
	n := copy(p, b.left)
	b.left = b.left[n:]
	return n, nil
}

func (b *body) Close() error {
	b.cancel(http.ErrBodyReadAfterClose)
	return nil
}

// pause returns early, with an error, when the context ends.
func pause(ctx context.Context, d time.Duration) error {
	if d > 0 {
		t := time.NewTimer(d)
		defer t.Stop()
		select {
		case <-t.C:
		case <-ctx.Done():
		}
	}
	return context.Cause(ctx)
}
