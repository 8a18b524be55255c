// Package listen opens what tokensource serve listens on: loopback, a unix
// socket of mode 0600, what systemd hands over, or another address over TLS.
package listen

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"github.com/tokensource-go/tokensource/cmd/tokensource/internal/private"
)

// Options say where to listen.
type Options struct {
	Addr              string // host:port; "" for none
	Socket            string // path of a unix socket; "" for none
	CertFile, KeyFile string
}

// Listener is one that may be served.
type Listener struct {
	net.Listener
	URL string // as a client writes it; of a unix socket, unix:PATH
}

// Open opens all that the options and systemd say. What systemd hands over
// replaces the default address, which is Addr if that is not given.
func Open(o Options, activated []net.Listener) (listeners []Listener, err error) {
	defer func() {
		if err != nil {
			for _, l := range listeners {
				l.Close()
			}
			listeners = nil
		}
	}()
	var certificate *tls.Config
	if o.CertFile != "" || o.KeyFile != "" {
		if certificate, err = tlsConfig(o.CertFile, o.KeyFile); err != nil {
			return nil, err
		}
	}
	add := func(l net.Listener, err error) error {
		if err != nil {
			return err
		}
		admitted, err := admit(l, certificate)
		if err != nil {
			l.Close()
			return err
		}
		listeners = append(listeners, admitted)
		return nil
	}
	for _, l := range activated {
		if err = add(l, nil); err != nil {
			return listeners, fmt.Errorf("a socket of systemd's: %w", err)
		}
	}
	if o.Addr != "" {
		if err = add(openTCP(o.Addr, certificate)); err != nil {
			return listeners, fmt.Errorf("--listen: %w", err)
		}
	}
	if o.Socket != "" {
		if err = add(openUnix(o.Socket)); err != nil {
			return listeners, fmt.Errorf("--socket: %w", err)
		}
	}
	return listeners, nil
}

var errPlain = errors.New("an address that other machines reach needs --cert and --key: tokens do not go over the network in clear")

// openTCP resolves the host first, so that nothing listens where it may not.
func openTCP(addr string, certificate *tls.Config) (net.Listener, error) {
	tcp, err := net.ResolveTCPAddr("tcp", addr)
	if err != nil {
		return nil, err
	}
	if certificate == nil && !tcp.IP.IsLoopback() {
		return nil, errPlain
	}
	return net.ListenTCP("tcp", tcp)
}

// admit refuses what others could listen to.
func admit(l net.Listener, certificate *tls.Config) (Listener, error) {
	switch addr := l.Addr().(type) {
	case *net.UnixAddr:
		info, err := os.Stat(addr.Name)
		if err != nil {
			return Listener{}, errors.New("not a socket with a path")
		}
		if info.Mode().Perm()&0o077 != 0 {
			return Listener{}, fmt.Errorf("others may open %s: its mode has to be 0600 (SocketMode=0600)", addr.Name)
		}
		return Listener{l, "unix:" + addr.Name}, nil
	case *net.TCPAddr:
		if certificate != nil {
			return Listener{tls.NewListener(l, certificate), "https://" + addr.String()}, nil
		}
		if addr.IP.IsLoopback() {
			return Listener{l, "http://" + addr.String()}, nil
		}
		return Listener{}, errPlain
	}
	return Listener{}, errors.New("neither TCP nor a unix socket")
}

// openUnix makes the socket in a directory that is private, and moves it to its
// place with its mode set: there is no moment in which others could open it. It
// replaces a socket that no process listens on.
func openUnix(path string) (net.Listener, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	if info, err := os.Lstat(path); err == nil {
		if info.Mode().Type() != os.ModeSocket {
			return nil, errors.New("there is a file that is no socket: move it away")
		}
		if conn, err := net.Dial("unix", path); err == nil {
			conn.Close()
			return nil, errors.New("another process listens there")
		}
	}
	// Others could put a socket of theirs in its place, and be told the secret.
	info, err := os.Stat(filepath.Dir(path))
	if err == nil {
		err = private.Dir(info)
	}
	if err != nil {
		return nil, fmt.Errorf("its directory is refused: %w", err)
	}
	dir, err := os.MkdirTemp(filepath.Dir(path), ".s-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	temporary := filepath.Join(dir, "s")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: temporary, Net: "unix"})
	if err != nil {
		return nil, err
	}
	l.SetUnlinkOnClose(false)
	if err = os.Chmod(temporary, 0o600); err == nil {
		info, err = os.Lstat(temporary)
	}
	if err == nil {
		err = os.Rename(temporary, path)
	}
	if err != nil {
		l.Close()
		return nil, err
	}
	return &unixListener{l, path, info}, nil
}

// unixListener knows where its socket lies, and removes it, but not another
// server's that has taken its place.
type unixListener struct {
	*net.UnixListener
	path string
	info os.FileInfo
}

func (l *unixListener) Addr() net.Addr { return &net.UnixAddr{Name: l.path, Net: "unix"} }

func (l *unixListener) Close() error {
	if info, err := os.Lstat(l.path); err == nil && os.SameFile(info, l.info) {
		os.Remove(l.path)
	}
	return l.UnixListener.Close()
}

// Network is how a request came: "unix" or "tcp".
func Network(r *http.Request) string {
	addr, _ := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	if addr == nil {
		return ""
	}
	return addr.Network()
}

// LocalHost reports whether a Host header names this machine. On plain loopback
// any other is a page in a browser that had its name resolve to here.
func LocalHost(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	return strings.EqualFold(host, "localhost") || net.ParseIP(host).IsLoopback()
}
