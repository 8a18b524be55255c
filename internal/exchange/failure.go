package exchange

// Why there was no answer: the network, TLS, or bytes that are no HTTP. What
// net/http says of it may quote what came back, which may be the token.

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync/atomic"
	"syscall"
)

// Temporary reports whether a refusal with this status and code is about the
// moment, not about the request.
func Temporary(status int, code string) bool {
	switch {
	case code == "temporarily_unavailable", code == "slow_down":
		return true
	case Rejected(0, code):
		return false
	case status/100 == 2: // an answer that could not be read
		return code == ""
	case status == http.StatusNotImplemented, status == http.StatusHTTPVersionNotSupported:
		return false
	}
	return status >= 500 || status == http.StatusTooManyRequests || status == http.StatusRequestTimeout
}

// Rejected reports whether a refusal is about the credentials (RFC 6749, 5.2).
func Rejected(status int, code string) bool {
	return status == http.StatusUnauthorized || status == http.StatusForbidden ||
		code == "invalid_client" || code == "unauthorized_client"
}

// TemporaryError reports whether a request that got no answer may get one
// later: the network failed, not the configuration of TLS or of a proxy.
func TemporaryError(err error) bool {
	op, isOp := errors.AsType[*net.OpError](err)
	switch {
	case err == nil, errors.As(err, new(*tls.CertificateVerificationError)), errors.Is(err, http.ErrSchemeMismatch),
		isOp && op.Op == "remote error", // TLS: no client certificate, as a rule
		strings.Contains(err.Error(), http.StatusText(http.StatusProxyAuthRequired)):
		return false
	}
	return errors.As(err, new(*url.Error)) || errors.Is(err, context.DeadlineExceeded)
}

// wire is what the trace of one request saw.
type wire struct{ answered, distrusted atomic.Bool }

// watch returns a context with a trace for w. The caller's own trace would see
// the credentials, so it is hidden.
func (w *wire) watch(ctx context.Context) context.Context {
	return httptrace.WithClientTrace(untraced{ctx}, &httptrace.ClientTrace{
		ConnectStart:         func(string, string) {}, // takes the place of the caller's hooks in package net
		GotFirstResponseByte: func() { w.answered.Store(true) },
		TLSHandshakeDone: func(_ tls.ConnectionState, err error) {
			if err != nil && !errors.As(err, new(net.Error)) && !errors.Is(err, io.EOF) {
				w.distrusted.Store(true) // a pin or a certificate that does not fit
			}
		},
	})
}

type untraced struct{ context.Context }

func (c untraced) Value(key any) any {
	v := c.Context.Value(key)
	if _, ok := v.(*httptrace.ClientTrace); ok {
		return nil
	}
	return v
}

// failed makes the Fault of an error of net/http. Its text is net/http's own if
// that can hold neither a secret nor a quotation of what came back.
func (r *Request) failed(ctx context.Context, w *wire, while string, err error) *Fault {
	s, cause, answered := newSecrets(r.Secrets), context.Cause(ctx), w.answered.Load()
	safe := func(text string) bool { return !s.in(text) && !strings.Contains(text, `"`) && text == Line(text) }
	said := err
	if outer, ok := errors.AsType[*url.Error](err); ok { // it says what while does
		said = outer.Err
	}
	errno, isErrno := errors.AsType[syscall.Errno](err)
	var text string
	switch {
	case cause != nil && safe(cause.Error()):
		text = cause.Error()
	case cause != nil:
		text = ctx.Err().Error()
	case !answered && safe(said.Error()):
		text = said.Error()
	case isErrno:
		text = errno.Error()
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		text = io.ErrUnexpectedEOF.Error()
	case answered:
		text = "the answer is not valid HTTP"
	default:
		text = "the HTTP client failed; what it says may hold a secret and is withheld"
	}
	return &Fault{
		Temporary: answered || TemporaryError(err) && (!w.distrusted.Load() || cause != nil),
		Err:       &failure{while + ": " + text, errors.Join(err, cause, ctx.Err())},
	}
}

// failure is an error of net/http. errors.Is sees what is inside, errors.As only
// types that hold nothing that was sent or came back.
type failure struct {
	text   string
	hidden error
}

func (f *failure) Error() string              { return f.text }
func (f *failure) Format(s fmt.State, _ rune) { io.WriteString(s, f.text) }
func (f *failure) Is(target error) bool       { return errors.Is(f.hidden, target) }
func (f *failure) Timeout() bool              { return Timeout(f.hidden) }

func (f *failure) As(target any) bool {
	switch target.(type) {
	case *x509.UnknownAuthorityError, *x509.HostnameError, *x509.CertificateInvalidError, *x509.SystemRootsError,
		*x509.InsecureAlgorithmError, *x509.ConstraintViolationError, *x509.UnhandledCriticalExtension,
		**tls.CertificateVerificationError, *tls.AlertError, **net.DNSError, *syscall.Errno:
		return errors.As(f.hidden, target)
	}
	return false
}

// Timeout reports whether err says so, as net.Error and os.IsTimeout have it.
func Timeout(err error) bool {
	var t interface{ Timeout() bool }
	return errors.Is(err, context.DeadlineExceeded) || errors.As(err, &t) && t.Timeout()
}
