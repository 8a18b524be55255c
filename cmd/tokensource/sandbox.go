package main

// tokensource sandbox: fake providers in a process of their own, for the tests of
// a program in any language.

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/natefinch/atomic"
	"github.com/spf13/cobra"

	"github.com/tokensource-go/tokensource/sandbox"
)

// sandboxCommand is the flags of the command.
type sandboxCommand struct {
	config    sandbox.Config
	pem       string
	fault     sandbox.Fault
	retry     time.Duration
	calls     int
	providers []string
	scripts   []string
}

func newSandboxCommand() *cobra.Command {
	s := sandboxCommand{config: sandbox.Config{Control: true}}
	cmd := &cobra.Command{
		Use:   "sandbox [-- COMMAND ...]",
		Short: "Run fake providers, for the tests of a program in any language",
		Long: `Run fake Blink, Flinks and Blackhawk servers (HTTPS, on loopback) until a signal
comes, which is exit code 0. Once it listens it prints variables for its users, for
a shell to read, and curl lines as comments. With a command after -- nothing is
printed: the variables are in the environment of the command, the sandbox ends with
it, and its exit code is passed back.

The variables are the providers' addresses and credentials, as this program reads
them, the URL of the sandbox in TOKENSOURCE_SANDBOX, and the file of the authority
to trust in those that this program, OpenSSL, Go, curl and Node read. The
certificate is made anew by each run. A file not named by --pem goes at the end.

Token endpoints go wrong by flag, or while the sandbox runs by its control API:
  POST /_sandbox/script   what happens from now on, in JSON as --script
  GET  /_sandbox/ledger   what has happened: requests and tokens by provider
  POST /_sandbox/reset    as at the start, without what the flags asked for

` + exitCodesHelp,
		Example: `  tokensource sandbox --addr 127.0.0.1:8443 --pem sandbox.pem --lifetime 5s > sandbox.env &
  until [ -s sandbox.env ]; do sleep 0.1; done
  . ./sandbox.env; tokensource token blink

  tokensource sandbox -- npm test
  tokensource sandbox --fail 503 --calls 2 --provider blink -- vendor/bin/phpunit
  tokensource sandbox --script '{"provider":"blink","endpoint":"api","faults":[{"status":401}]}' -- ./test.sh`,
		Args: childArgs,
		RunE: s.run,
	}
	f := cmd.Flags()
	f.StringVar(&s.config.Addr, "addr", "", "where it listens, as 127.0.0.1:8443 (default: a free port on loopback)")
	f.StringVar(&s.pem, "pem", "", "file to write the authority to trust into (default: one in a directory of its own)")
	f.DurationVar(&s.config.TokenLifetime, "lifetime", 0, "of the tokens, whole seconds (default: the documented ones)")
	f.DurationVar(&s.config.ClockOffset, "clock-offset", 0, "of the sandbox's clock, as 2h or -2h")
	f.BoolVar(&s.config.FlinksReusable, "reusable", false, "Flinks tokens serve all calls")
	f.BoolVar(&s.config.EnforceRateLimit, "enforce-rate-limit", false, "Blink answers 429 to more than 60 requests a minute")
	f.IntVar(&s.fault.Status, "fail", 0, "status that the token endpoints answer with, as 503")
	f.StringVar(&s.fault.Code, "fail-code", "", "error code in the body of that answer, as invalid_client")
	f.DurationVar(&s.retry, "retry-after", 0, "the Retry-After of that answer, whole seconds")
	f.DurationVar(&s.fault.Delay, "delay", 0, "before the token endpoints answer")
	f.BoolVar(&s.fault.Break, "break", false, "the token endpoints break the connection")
	f.IntVar(&s.calls, "calls", 0, "how many token requests to each provider go wrong so; 0 means all")
	f.StringSliceVar(&s.providers, "provider", nil, "the providers where they do: blink, blink-legacy, flinks, blackhawk (default: all)")
	f.StringArrayVar(&s.scripts, "script", nil, "anything else, in JSON as the control API takes it; may be repeated")
	completeFiles(cmd, "pem")
	completeValues(cmd, "fail", "401", "403", "404", "429", "500", "503")
	completeValues(cmd, "provider", providerNames()...)
	return cmd
}

func providerNames() (names []string) {
	for _, p := range sandbox.Providers() {
		names = append(names, string(p))
	}
	return names
}

func (s *sandboxCommand) check() error {
	switch {
	case s.config.TokenLifetime%time.Second != 0 || s.config.TokenLifetime < 0:
		return usagef("--lifetime is told in whole seconds, as 5s")
	case s.fault.Status != 0 && (s.fault.Status < 300 || s.fault.Status > 599):
		return usagef("--fail is 300 to 599")
	case s.fault.Status == 0 && (s.fault.Code != "" || s.retry != 0):
		return usagef("--fail-code and --retry-after need --fail")
	case s.retry%time.Second != 0 || s.retry < 0 || s.calls < 0 || s.fault.Delay < 0:
		return usagef("--retry-after is told in whole seconds; it, --delay and --calls are not negative")
	}
	for _, name := range s.providers {
		if !slices.Contains(providerNames(), name) {
			return usagef("--provider is one of %s", strings.Join(providerNames(), ", "))
		}
	}
	return nil
}

func (s *sandboxCommand) run(cmd *cobra.Command, child []string) error {
	if err := s.check(); err != nil {
		return err
	}
	log := logger(cmd, slog.LevelInfo)
	slog.SetDefault(log) // net/http's word on broken handshakes goes there too
	sb, err := sandbox.Start(s.config)
	if err != nil {
		return usagef("--addr: it cannot listen there, choose another: %w", withoutAddress(err))
	}
	defer sb.Close()
	if err := s.goWrong(sb); err != nil {
		return err
	}
	path, remove, err := s.writePEM(sb.CertificatePEM())
	if err != nil {
		return err
	}
	defer remove()
	variables := s.variables(sb, path)
	if len(child) > 0 {
		return runChild(cmd, child, variables, func(*os.Process) {})
	}
	log.Info("the sandbox listens", "url", sb.URL, "pem", path)
	if _, err := io.WriteString(cmd.OutOrStdout(), script(sb, path, variables)); err != nil {
		return err
	}
	<-cmd.Context().Done()
	log.Info("the sandbox ended", "ledger", sb.Ledger())
	return nil
}

// goWrong lets happen what the flags ask for.
func (s *sandboxCommand) goWrong(sb *sandbox.Sandbox) error {
	if s.retry > 0 {
		s.fault.Header = http.Header{"Retry-After": {strconv.Itoa(int(s.retry / time.Second))}}
	}
	for _, p := range sandbox.Providers() {
		if len(s.providers) > 0 && !slices.Contains(s.providers, string(p)) {
			continue
		}
		endpoints := []sandbox.Endpoint{sandbox.Token}
		if p == sandbox.BlinkLegacy {
			endpoints = append(endpoints, sandbox.Refresh)
		}
		for _, e := range endpoints {
			if s.calls > 0 {
				sb.Script(p, e, slices.Repeat([]sandbox.Fault{s.fault}, s.calls)...)
			} else {
				sb.Always(p, e, s.fault)
			}
		}
	}
	for _, order := range s.scripts {
		resp, err := sb.Client().Post(sb.URL+"/_sandbox/script", "application/json", strings.NewReader(order))
		if err != nil {
			return err
		}
		var refusal struct{ Error string }
		err = json.NewDecoder(resp.Body).Decode(&refusal) // a 204 has no body
		resp.Body.Close()
		if resp.StatusCode != http.StatusNoContent {
			return usagef("--script: %s", cmp.Or(refusal.Error, fmt.Sprint(err)))
		}
	}
	return nil
}

// writePEM writes the authority's certificate, which is no secret.
func (s *sandboxCommand) writePEM(pem []byte) (path string, remove func(), err error) {
	remove = func() {}
	if path = s.pem; path == "" {
		dir, err := os.MkdirTemp(cmp.Or(os.Getenv("XDG_RUNTIME_DIR"), os.TempDir()), "tokensource-sandbox-")
		if err != nil {
			return "", nil, err
		}
		path, remove = filepath.Join(dir, "sandbox.pem"), func() { os.RemoveAll(dir) }
	}
	if path, err = filepath.Abs(path); err == nil {
		err = atomic.WriteFile(path, strings.NewReader(string(pem)))
	}
	if err != nil {
		remove()
		return "", nil, usagef("--pem: %w", err)
	}
	return path, remove, nil
}

// variables are what the users of the sandbox need: this command, and programs
// of OpenSSL, Go, curl and Node.
func (s *sandboxCommand) variables(sb *sandbox.Sandbox, pem string) (variables []string) {
	for _, p := range providers() {
		variables = append(variables, p.baseVar+"="+sb.URL, p.idVar+"="+sandbox.ID, p.secretVar+"="+sandbox.Secret)
	}
	for _, name := range []string{caFileVar, "SSL_CERT_FILE", "CURL_CA_BUNDLE", "NODE_EXTRA_CA_CERTS"} {
		variables = append(variables, name+"="+pem)
	}
	return append(variables, "TOKENSOURCE_SANDBOX="+sb.URL)
}

// script is what is printed: a shell can read it, and a person paste from it.
func script(sb *sandbox.Sandbox, pem string, variables []string) string {
	var b strings.Builder
	for _, v := range variables {
		name, value, _ := strings.Cut(v, "=")
		fmt.Fprintf(&b, "export %s=%s\n", name, shellQuote(value))
	}
	curl := "#   curl --cacert " + shellQuote(pem) + " "
	fmt.Fprintf(&b, "# Tokens:\n")
	fmt.Fprintf(&b, "%s--json '{\"api_key\":\"%s\",\"secret_key\":\"%s\"}' %s\n", curl, sandbox.ID, sandbox.Secret, sb.TokenURL(sandbox.Blink))
	fmt.Fprintf(&b, "%s-u %s:%s -d grant_type=client_credentials %s\n", curl, sandbox.ID, sandbox.Secret, sb.TokenURL(sandbox.Flinks))
	fmt.Fprintf(&b, "%s-u %s:%s -H 'Accept: application/json' -H 'response_type: token id_token' -d grant_type=client_credentials %s\n", curl, sandbox.ID, sandbox.Secret, sb.TokenURL(sandbox.Blackhawk))
	fmt.Fprintf(&b, "# An outage of Blink, and its end:\n")
	fmt.Fprintf(&b, "%s--json '{\"provider\":\"blink\",\"always\":{\"status\":503}}' %s/_sandbox/script\n", curl, sb.URL)
	fmt.Fprintf(&b, "%s--json '{\"provider\":\"blink\",\"always\":{}}' %s/_sandbox/script\n", curl, sb.URL)
	fmt.Fprintf(&b, "# What has happened:\n%s%s/_sandbox/ledger\n", curl, sb.URL)
	return b.String()
}
