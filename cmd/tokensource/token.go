package main

// tokensource token: one token from the provider or from an earlier run, for
// scripts. The token goes to stdout and nothing else does.

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/oauth2"

	"github.com/tokensource-go/tokensource"
)

func newTokenCommand() *cobra.Command {
	var (
		flags  sourceFlags
		cache  cacheFlags
		output string
	)
	token := &cobra.Command{
		Use:   "token",
		Short: "Get one token from a provider, for a script",
		Long: `Get one token from a provider's real endpoint, unless an earlier run has kept one,
and print it to stdout; everything else goes to stderr. Credentials come from the
environment or from files, never from the command line, which others on the
machine can read.

` + cacheHelp + `

` + exitCodesHelp,
		Example: `  export BLINK_API_KEY=... BLINK_SECRET_KEY=...
  tokensource token blink -o header | curl -H @- https://secure.blinkpayment.co.uk/api/pay/v1/...

  tokensource token flinks --base-url https://... --id-file user --secret-file password -o json`,
		Args: noArgs,
		RunE: func(*cobra.Command, []string) error {
			return usagef("which provider? blink, flinks or blackhawk")
		},
	}
	f := token.PersistentFlags()
	f.SortFlags = false
	f.StringVarP(&output, "output", "o", "token", "what to print: token, json or header")
	f.StringVar(&flags.baseURL, "base-url", "", "address of the provider")
	f.StringVar(&flags.idFile, "id-file", "", "file with the first half of the credentials, in place of the environment")
	f.StringVar(&flags.secretFile, "secret-file", "", "file with the second half")
	f.StringVar(&flags.certFile, "cert", "", "PEM file with a client certificate, for mutual TLS")
	f.StringVar(&flags.keyFile, "key", "", "PEM file with its key (default: the file of --cert)")
	f.StringVar(&flags.caFile, "ca-file", "", "PEM file with the authorities to trust, in place of the system's")
	f.DurationVar(&flags.timeout, "timeout", 15*time.Second, "how long the whole may take, retries included, as 500ms or 15s")
	cache.register(f)
	for _, p := range providers() {
		token.AddCommand(newProviderCommand(p, &flags, &cache, &output))
	}
	return token
}

func newProviderCommand(p *provider, flags *sourceFlags, cache *cacheFlags, output *string) *cobra.Command {
	base := "address, as --base-url; default " + p.baseURL
	if p.baseURL == "" {
		base = "address that you were given at onboarding, as --base-url; required"
	}
	cmd := &cobra.Command{
		Use:   p.name,
		Short: "Get a token of " + p.title,
		Long: fmt.Sprintf("Get a token of %s.\n\nEnvironment:\n  %s, %s\n        credentials, unless --id-file and --secret-file are given\n  %s\n        %s\n\n%s",
			p.title, p.idVar, p.secretVar, p.baseVar, base, p.note),
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			format, ok := formats[*output]
			if !ok {
				return usagef("--output is one of token, json, header")
			}
			if flags.timeout <= 0 {
				return usagef("--timeout must be more than 0")
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), flags.timeout)
			defer cancel()
			src, certificate, err := flags.source(p)
			if err != nil {
				return err
			}
			tok, err := cache.token(ctx, cmd.ErrOrStderr(), &tokensource.Cache{
				Source:       src,
				StoreKey:     certificate,
				Synchronous:  true,
				FetchTimeout: flags.timeout,
			})
			if err != nil {
				return err
			}
			return format(cmd.OutOrStdout(), tok)
		},
	}
	cmd.Flags().SortFlags = false
	p.flags(cmd.Flags())
	return cmd
}

// formats are the values of --output.
var formats = map[string]func(io.Writer, *oauth2.Token) error{
	"token": func(w io.Writer, tok *oauth2.Token) error {
		_, err := fmt.Fprintln(w, tok.AccessToken)
		return err
	},
	"header": func(w io.Writer, tok *oauth2.Token) error {
		_, err := fmt.Fprintln(w, "Authorization:", tok.Type(), tok.AccessToken)
		return err
	},
	"json": printJSON,
}

func printJSON(w io.Writer, tok *oauth2.Token) error {
	expiry := tok.Expiry
	if now := time.Now(); !expiry.After(now) {
		// A single-use token carries its issue time as Expiry.
		expiry = expiry.Add(time.Duration(tok.ExpiresIn) * time.Second)
	}
	return json.NewEncoder(w).Encode(struct {
		AccessToken string    `json:"access_token"`
		TokenType   string    `json:"token_type"`
		Expiry      time.Time `json:"expiry"`
		ExpiresIn   int64     `json:"expires_in"` // seconds from now
	}{tok.AccessToken, tok.Type(), expiry.UTC().Truncate(time.Second), int64(time.Until(expiry).Round(time.Second) / time.Second)})
}
