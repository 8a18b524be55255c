package main

// tokensource doctor: what stands between this machine and a token, a line for
// each check. doctor_check.go has the checks of this machine, doctor_net.go those
// of the way to the provider.

import (
	"encoding/json"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/tokensource-go/tokensource"
)

const doctorHelp = `Each check is one line: ok, or what to do. No check sends the credentials anywhere;
--token does, for a token of its own that is not kept.

  address      the address is one that a secret may be sent to
  credentials  they can be read, and nobody else can read their files
  store        the directory for kept tokens works and is private
  proxy        what the environment says about proxies
  dns          the host (or the proxy's) has an address
  tcp          it takes connections
  tls          the certificate is good, for this name, and for how many days yet
  clock        this machine's clock against the provider's
  rate limit   how many requests are left, if the provider says so
  token        one token, with --token

The exit code is that of the first check that failed; warnings do not count.`

// result of a check.
type result string

const (
	resultOK      result = "ok"
	resultWarning result = "warning"
	resultFailed  result = "failed"
	resultSkipped result = "skipped"
)

type check struct {
	Name   string `json:"name"`
	Result result `json:"result"`
	Detail string `json:"detail"`

	code int // exit code, if it failed
}

func passed(format string, args ...any) check {
	return check{Result: resultOK, Detail: fmt.Sprintf(format, args...)}
}
func warning(format string, args ...any) check {
	return check{Result: resultWarning, Detail: fmt.Sprintf(format, args...)}
}
func skipped(format string, args ...any) check {
	return check{Result: resultSkipped, Detail: fmt.Sprintf(format, args...)}
}
func failed(code int, format string, args ...any) check {
	return check{Result: resultFailed, Detail: fmt.Sprintf(format, args...), code: code}
}

// doctorCommand is the flags of the command.
type doctorCommand struct {
	source sourceFlags
	cache  cacheFlags
	token  bool
	json   bool
}

func newDoctorCommand() *cobra.Command {
	var d doctorCommand
	doctor := &cobra.Command{
		Use:   "doctor",
		Short: "Find out what stands between this machine and a token",
		Long:  "Find out what stands between this machine and a provider's token.\n\n" + doctorHelp + "\n\n" + exitCodesHelp,
		Example: `  export BLINK_API_KEY=... BLINK_SECRET_KEY=...
  tokensource doctor blink --token`,
		Args: noArgs,
		RunE: whichProvider,
	}
	d.source.register(doctor)
	d.cache.register(doctor)
	f := doctor.PersistentFlags()
	f.BoolVar(&d.token, "token", false, "ask for one token, which is not kept")
	f.BoolVar(&d.json, "json", false, "print the result as JSON")
	for _, p := range providers() {
		cmd := newProviderCommand(p, "Find out what stands between this machine and a token of")
		cmd.Args = noArgs
		cmd.RunE = func(cmd *cobra.Command, _ []string) error { return d.run(cmd, p) }
		doctor.AddCommand(cmd)
	}
	return doctor
}

func (d *doctorCommand) run(cmd *cobra.Command, p *provider) error {
	src, _, err := d.source.source(p)
	if err != nil {
		return err
	}
	r := &diagnosis{Provider: p.name, OK: true, out: cmd.OutOrStdout(), quiet: d.json}
	r.color = isTerminal(r.out) && os.Getenv("NO_COLOR") == ""
	e := src.(tokensource.Provider).Endpoint()
	r.add("address", checkAddress(cmd.Context(), e))
	r.add("credentials", d.checkCredentials(cmd.Context(), p, e))
	r.add("store", d.checkStore(cmd.Context(), e))
	way := newWay(e, d.source.timeout)
	for _, step := range way.steps() {
		r.add(step.name, way.check(cmd.Context(), step))
	}
	r.add("token", d.checkToken(cmd.Context(), src))
	if cmd.Context().Err() != nil {
		return cmd.Context().Err()
	}
	return r.end()
}

// diagnosis is what the checks have found so far.
type diagnosis struct {
	Provider string  `json:"provider"`
	OK       bool    `json:"ok"`
	Checks   []check `json:"checks"`

	out          io.Writer
	quiet, color bool
	failures     int
	code         int // of the first failure
}

var resultColors = map[result]string{resultOK: "32", resultWarning: "33", resultFailed: "31", resultSkipped: "2"}

func (r *diagnosis) add(name string, c check) {
	c.Name = name
	r.Checks = append(r.Checks, c)
	if c.Result == resultFailed {
		if r.OK = false; r.failures == 0 {
			r.code = c.code
		}
		r.failures++
	}
	if r.quiet {
		return
	}
	word := fmt.Sprintf("%-7s", c.Result)
	if r.color {
		word = "\x1b[" + resultColors[c.Result] + "m" + word + "\x1b[0m"
	}
	fmt.Fprintf(r.out, "%s  %-11s  %s\n", word, name, c.Detail)
}

func (r *diagnosis) end() error {
	if r.quiet {
		if err := json.NewEncoder(r.out).Encode(r); err != nil {
			return err
		}
	}
	if r.OK {
		return nil
	}
	return exitError{r.code, fmt.Errorf("checks that failed: %d of %d", r.failures, len(r.Checks))}
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}
