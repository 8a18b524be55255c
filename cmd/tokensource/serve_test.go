package main

// tokensource serve as programs in other languages see it. The scripts try the
// built binary.

import (
	"bufio"
	"context"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/tokensource-go/tokensource/sandbox"
)

// tokenServer is the command, serving a sandbox's tokens.
type tokenServer struct {
	*fake
	url, secretFile string
}

func startServing(t *testing.T, config sandbox.Config, args ...string) *tokenServer {
	t.Helper()
	setCredentials(t, sandbox.ID, sandbox.Secret)
	s := &tokenServer{fake: newFake(t, config)}
	for _, p := range providers() {
		t.Setenv(p.baseVar, s.URL)
	}
	t.Setenv(caFileVar, s.caFile)
	t.Setenv("XDG_RUNTIME_DIR", t.TempDir())
	return s.another(t, args...)
}

// another runs the command once more, in the same environment.
func (s *tokenServer) another(t *testing.T, args ...string) *tokenServer {
	t.Helper()
	s = &tokenServer{fake: s.fake}
	ctx, stop := context.WithCancel(context.Background())
	reader, writer := io.Pipe()
	var errs strings.Builder // read when the command has ended
	ended := make(chan int, 1)
	go func() {
		ended <- run(ctx, append([]string{"serve", "--listen", "127.0.0.1:0"}, args...), writer, &errs, nil)
		writer.Close()
	}()
	t.Cleanup(func() {
		stop()
		if code := <-ended; code != exitOK {
			t.Errorf("exit code %d: %s", code, errs.String())
		}
	})
	for lines := bufio.NewScanner(reader); s.secretFile == "" && lines.Scan(); {
		if url, ok := strings.CutPrefix(lines.Text(), "listening on "); ok {
			s.url = url
		}
		if path, ok := strings.CutPrefix(lines.Text(), "client secret in "); ok {
			s.secretFile = path
		}
	}
	if s.url == "" || s.secretFile == "" {
		t.Fatal("the server does not say where it is")
	}
	go io.Copy(io.Discard, reader)
	return s
}

// environment is what the programs of docs/any-language.md read.
func (s *tokenServer) environment() []string {
	return append(os.Environ(), "TOKENSOURCE_URL="+s.url, "TOKENSOURCE_SECRET_FILE="+s.secretFile)
}
