package listen

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

func TestWhereItListens(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		options Options
		want    string // in the URL, or in the error
	}{
		"loopback":                      {Options{Addr: "127.0.0.1:0"}, "http://127.0.0.1:"},
		"loopback by name":              {Options{Addr: "localhost:0"}, "http://"},
		"a unix socket":                 {Options{Socket: filepath.Join(dir, "s")}, "unix:" + dir},
		"all addresses without TLS":     {Options{Addr: ":0"}, "needs --cert and --key"},
		"all IPv4 addresses likewise":   {Options{Addr: "0.0.0.0:0"}, "needs --cert and --key"},
		"half a certificate":            {Options{Addr: "127.0.0.1:0", CertFile: file}, "go together"},
		"a certificate that is none":    {Options{Addr: ":0", CertFile: file, KeyFile: file}, "--cert, --key"},
		"no port":                       {Options{Addr: "127.0.0.1"}, "--listen"},
		"a file that is no socket":      {Options{Socket: file}, "no socket"},
		"a directory that there is not": {Options{Socket: filepath.Join(dir, "none", "s")}, "--socket"},
	} {
		t.Run(name, func(t *testing.T) {
			listeners, err := Open(tt.options, nil)
			for _, l := range listeners {
				defer l.Close()
			}
			if err == nil && (len(listeners) != 1 || !strings.Contains(listeners[0].URL, tt.want)) || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v %v", listeners, err)
			}
		})
	}
}

func TestUnixSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	open := func() ([]Listener, error) { return Open(Options{Socket: path}, nil) }
	first, err := open()
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info, err)
	}
	if _, err := open(); err == nil || !strings.Contains(err.Error(), "another process listens") {
		t.Errorf("a second server: %v", err)
	}
	first[0].Listener.(*unixListener).UnixListener.Close() // as a killed process leaves it
	again, err := open()
	if err != nil {
		t.Fatalf("after a killed server: %v", err)
	}
	again[0].Close()
	if _, err := os.Stat(path); err == nil {
		t.Error("the socket is still there")
	}
	if entries, err := os.ReadDir(filepath.Dir(path)); err != nil || len(entries) != 0 {
		t.Errorf("left behind: %v %v", entries, err)
	}
}

// A socket that another server has put in the place of one that was removed is
// that server's.
func TestUnixSocketOfAnother(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	open := func() Listener {
		t.Helper()
		listeners, err := Open(Options{Socket: path}, nil)
		if err != nil {
			t.Fatal(err)
		}
		return listeners[0]
	}
	first := open()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	second := open()
	defer second.Close()
	first.Close()
	if _, err := os.Lstat(path); err != nil {
		t.Errorf("the first took the second's away: %v", err)
	}
}

// Others could put a socket of theirs in its place, and be told the secret.
func TestUnixSocketAmongOthers(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("modes of Unix")
	}
	dir := filepath.Join(t.TempDir(), "open")
	if err := errors.Join(os.Mkdir(dir, 0o700), os.Chmod(dir, 0o777)); err != nil {
		t.Fatal(err)
	}
	if listeners, err := Open(Options{Socket: filepath.Join(dir, "s")}, nil); err == nil || !strings.Contains(err.Error(), "others may write it") {
		t.Errorf("%v %v", listeners, err)
	}
}

// What systemd hands over is held to the same rules.
func TestActivatedSockets(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o666); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(Options{}, []net.Listener{l}); err == nil || !strings.Contains(err.Error(), "SocketMode=0600") {
		t.Errorf("a socket that all may open: %v", err)
	}
	public, err := net.Listen("tcp", ":0")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Open(Options{}, []net.Listener{public}); err == nil || !strings.Contains(err.Error(), "--cert and --key") {
		t.Errorf("a public one without TLS: %v", err)
	}
	loopback, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if listeners, err := Open(Options{}, []net.Listener{loopback}); err != nil || listeners[0].URL != "http://"+loopback.Addr().String() {
		t.Errorf("%v %v", listeners, err)
	}
	loopback.Close()
}

func TestLocalHost(t *testing.T) {
	for host, want := range map[string]bool{
		"localhost": true, "LOCALHOST:80": true, "127.0.0.1:8650": true, "127.1.2.3": true, "[::1]:80": true, "[::1]": true,
		"evil.example": false, "localhost.evil.example": false, "127.0.0.1.evil.example:80": false, "192.0.2.1": false, "": false, "0.0.0.0": false,
	} {
		if LocalHost(host) != want {
			t.Errorf("%q: %v", host, !want)
		}
	}
}
