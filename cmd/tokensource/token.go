package main

// tokensource token: one token from the provider or from an earlier run, for
// scripts, or with --watch a file that holds one. The token goes to stdout, or
// into the file, and nothing else does.

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/tokensource-go/tokensource"
)

// tokenCommand is the flags of the command.
type tokenCommand struct {
	source sourceFlags
	cache  cacheFlags
	output string
	watch  watchFlags
}

func newTokenCommand() *cobra.Command {
	var t tokenCommand
	token := &cobra.Command{
		Use:   "token",
		Short: "Get a token from a provider, for a script, or keep a file with one fresh",
		Long: `Get one token from a provider's real endpoint, unless an earlier run has kept one,
and print it to stdout; everything else goes to stderr. Credentials come from the
environment or from files, never from the command line, which others on the
machine can read.

` + watchHelp + `

` + cacheHelp + `

` + exitCodesHelp,
		Example: `  export BLINK_API_KEY=... BLINK_SECRET_KEY=...
  tokensource token blink -o header | curl -H @- https://secure.blinkpayment.co.uk/api/pay/v1/...

  tokensource token flinks --base-url https://... --id-file user --secret-file password -o json

  tokensource token blink --watch --file ~/.cache/shop/curlrc -o curl &
  curl -K ~/.cache/shop/curlrc https://secure.blinkpayment.co.uk/api/pay/v1/...

  tokensource token blink --watch --file /run/shop/token -- php worker.php`,
		Args: noArgs,
		RunE: whichProvider,
	}
	f := token.PersistentFlags()
	f.StringVarP(&t.output, "output", "o", "token", "how to print it: token, json, header, env or curl")
	t.source.register(token)
	t.cache.register(token)
	f.BoolVar(&t.cache.refresh, "force-refresh", false, "forget the kept token, get another and keep that")
	t.watch.register(token)
	var values []string
	for _, format := range formats {
		values = append(values, format.name+"\t"+format.says)
	}
	completeValues(token, "output", values...)
	for _, p := range providers() {
		cmd := newProviderCommand(p, "Get a token of")
		cmd.Args = childArgs
		cmd.RunE = func(cmd *cobra.Command, args []string) error { return t.run(cmd, args, p) }
		token.AddCommand(cmd)
	}
	return token
}

func (t *tokenCommand) run(cmd *cobra.Command, child []string, p *provider) error {
	format, err := formatNamed(t.output)
	if err != nil {
		return err
	}
	if err := t.watch.check(t.cache.refresh, child); err != nil {
		return err
	}
	src, certificate, err := t.source.source(p)
	if err != nil {
		return err
	}
	cache := &tokensource.Cache{Source: src, StoreKey: certificate, FetchTimeout: t.source.timeout}
	if t.watch.on {
		return t.runWatch(cmd, child, p, cache, format)
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), t.source.timeout)
	defer cancel()
	cache.Synchronous = true
	tok, err := t.cache.token(ctx, cmd, cache)
	stdout := cmd.OutOrStdout()
	if err == nil {
		_, err = stdout.Write(format.print(p, tok))
		return err
	}
	if code := failureCodes[exitCode(cmd.Context(), err)]; format.name == "json" && code != "" {
		stdout.Write(answer{Code: code, Message: message(err)}.print())
	}
	return err
}

func whichProvider(*cobra.Command, []string) error {
	return usagef("which provider? blink, flinks or blackhawk")
}

// newProviderCommand is the command of a provider, below token or doctor, with
// the provider's own flags.
func newProviderCommand(p *provider, what string) *cobra.Command {
	base := "address, as --base-url; default " + p.baseURL
	if p.baseURL == "" {
		base = "address that you were given at onboarding, as --base-url; required"
	}
	cmd := &cobra.Command{
		Use:   p.name,
		Short: what + " " + p.title,
		Long: fmt.Sprintf("%s %s.\n\nEnvironment:\n  %s, %s\n        credentials, unless --id-file and --secret-file are given\n  %s\n        %s\n  %s\n        file of authorities, as --ca-file\n\n%s",
			what, p.title, p.idVar, p.secretVar, p.baseVar, base, caFileVar, p.note),
	}
	p.flags(cmd.Flags())
	return cmd
}
