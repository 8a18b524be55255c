package main

// Commands of the scripts of tokensource serve.

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/tokensource-go/tokensource/sandbox"
)

var said = regexp.MustCompile(`(?ms)^listening on (\S+)$.*^client secret in (\S+)$`)

// served FILE waits until a server's stdout is complete, and sets URL and SECRET
// (the file's path).
func served(ts *testscript.TestScript, _ bool, args []string) {
	var words []string
	until(ts, "the server listens", func() bool {
		content, err := os.ReadFile(ts.MkAbs(args[0]))
		words = said.FindStringSubmatch(string(content))
		return err == nil && words != nil
	})
	ts.Setenv("URL", words[1])
	ts.Setenv("SECRET", words[2])
}

// proc searches what the system shows of the commands in the background: in the
// command lines no secret, in the environments none but the provider's, which
// came there by the script.
func proc(ts *testscript.TestScript, _ bool, _ []string) {
	secret, err := os.ReadFile(ts.Getenv("SECRET"))
	ts.Check(err)
	for _, cmd := range ts.BackgroundCmds() {
		dir := filepath.Join("/proc", strconv.Itoa(cmd.Process.Pid))
		for file, hidden := range map[string][]string{
			"cmdline": {strings.TrimSpace(string(secret)), sandbox.Secret, sandbox.TokenMark},
			"environ": {strings.TrimSpace(string(secret)), sandbox.TokenMark},
		} {
			content, err := os.ReadFile(filepath.Join(dir, file))
			ts.Check(err)
			for _, h := range hidden {
				if strings.Contains(string(content), h) {
					ts.Fatalf("a secret in %s/%s", dir, file)
				}
			}
		}
	}
}

var resident = regexp.MustCompile(`VmRSS:\s+(\d+) kB`)

// silent N opens so many connections to the server, as many as the system
// allows; each begins a request that it does not end. The server may take 100
// MiB for them.
func silent(ts *testscript.TestScript, _ bool, args []string) {
	wanted, err := strconv.Atoi(args[0])
	ts.Check(err)
	opened := 0
	for ; opened < wanted; opened++ {
		conn, err := net.Dial("tcp", strings.TrimPrefix(ts.Getenv("URL"), "http://"))
		if err != nil {
			ts.Logf("the system allows no more: %v", err)
			break
		}
		ts.Defer(func() { conn.Close() })
		io.WriteString(conn, "POST /blink/token HTTP/1.1\r\nHost: localhost\r\nA: "+strings.Repeat("a", 4000))
	}
	ts.Logf("%d connections", opened)
	for _, cmd := range ts.BackgroundCmds() {
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", cmd.Process.Pid))
		ts.Check(err)
		m := resident.FindSubmatch(status)
		if m == nil {
			ts.Fatalf("no VmRSS in %s", status)
		}
		ts.Logf("%s kB", m[1])
		if kB, _ := strconv.Atoi(string(m[1])); kB > 100<<10 {
			ts.Fatalf("%d kB for %d connections", kB, opened)
		}
	}
}

// activate starts the server as systemd does, with a unix socket that is open,
// and waits for its word that it is ready. It sets SOCKET.
func activate(ts *testscript.TestScript, _ bool, _ []string) {
	path := ts.MkAbs("activated.sock")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	ts.Check(err)
	ts.Check(os.Chmod(path, 0o600))
	file, err := l.File()
	ts.Check(err)
	notify, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: ts.MkAbs("notify.sock"), Net: "unixgram"})
	ts.Check(err)
	program, err := exec.LookPath(filepath.Join(strings.Split(ts.Getenv("PATH"), string(os.PathListSeparator))[0], "tokensource"))
	ts.Check(err)
	cmd := exec.Command("sh", "-c", `LISTEN_PID=$$ exec "$0" serve`, program)
	cmd.Env = append(os.Environ(), "LISTEN_FDS=1", "NOTIFY_SOCKET="+ts.MkAbs("notify.sock"))
	for _, name := range []string{"XDG_CACHE_HOME", "XDG_RUNTIME_DIR", "BLINK_API_KEY", "BLINK_SECRET_KEY", "BLINK_BASE_URL", caFileVar} {
		cmd.Env = append(cmd.Env, name+"="+ts.Getenv(name))
	}
	cmd.Dir = ts.MkAbs(".")
	cmd.ExtraFiles = []*os.File{file}
	out, err := os.Create(ts.MkAbs("activated.out"))
	ts.Check(err)
	cmd.Stdout, cmd.Stderr = out, out
	ts.Check(cmd.Start())
	var state [100]byte
	for _, want := range []string{"READY=1", "STOPPING=1"} {
		n, err := notify.Read(state[:])
		ts.Check(err)
		if string(state[:n]) != want {
			ts.Fatalf("the server tells systemd %q, want %q", state[:n], want)
		}
		if want == "READY=1" {
			secret, err := filepath.Glob(ts.MkAbs("tokensource/*.secret"))
			ts.Check(err)
			ts.Setenv("SECRET", strings.Join(secret, ""))
			ts.Check(ts.Exec("sh", "-c", `printf 'user = "any:%s"' "$(cat $SECRET)" | curl -sf --unix-socket `+path+` -K - -d grant_type=client_credentials http://localhost/blink/token`))
			ts.Check(cmd.Process.Signal(os.Interrupt))
		}
	}
	ts.Check(cmd.Wait())
	ts.Check(l.Close())
}
