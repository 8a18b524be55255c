package main

// tokensource serve: the providers' tokens for programs in any language, by
// standard OAuth 2.0 on this machine.

import (
	"cmp"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"time"

	"github.com/coreos/go-systemd/v22/activation"
	"github.com/spf13/cobra"

	"github.com/tokensource-go/tokensource"
	"github.com/tokensource-go/tokensource/cmd/tokensource/internal/private"
	"github.com/tokensource-go/tokensource/cmd/tokensource/internal/redisurl"
	tokenserver "github.com/tokensource-go/tokensource/cmd/tokensource/internal/serve"
	"github.com/tokensource-go/tokensource/cmd/tokensource/internal/serve/config"
	"github.com/tokensource-go/tokensource/cmd/tokensource/internal/serve/gate"
	"github.com/tokensource-go/tokensource/cmd/tokensource/internal/serve/listen"
	"github.com/tokensource-go/tokensource/redisstore"
)

const (
	defaultListen = "127.0.0.1:8650"

	// redisVar holds the URL if it has a password: the command line is read
	// by others on the machine.
	redisVar = "TOKENSOURCE_REDIS_URL"
)

type serveFlags struct {
	config, secretFile string
	listen             listen.Options
	cache              cacheFlags
	redis              string
	check, verbose     bool
}

func newServeCommand() *cobra.Command {
	var f serveFlags
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Serve tokens to programs in any language, as standard OAuth 2.0",
		Long: `Serve the providers' tokens on this machine as standard OAuth 2.0, so that any
OAuth client in any language can use them. For each source NAME:

  POST /NAME/token        a token, by grant_type=client_credentials (RFC 6749)
  POST /NAME/invalidate   the API rejected a token: the next one is new (RFC 7009)
  GET  /.well-known/oauth-authorization-server/NAME   for clients that discover

and for all of them a status page at /, /metrics for Prometheus, /healthz and
/readyz.

Sources are those of --config, else blink, flinks and blackhawk, each if the
environment has its credentials. Clients authenticate by a client secret, with
any client id. It is made at the start, into a file that only you can read,
unless --client-secret-file names one. A rotated file counts within a second.

It listens on this machine only. Another address takes --cert and --key. Sockets
that systemd hands over are used too, unix ones with SocketMode=0600.

` + exitCodesHelp,
		Example: `  export BLINK_API_KEY=... BLINK_SECRET_KEY=...
  tokensource serve
  curl -u any:"$(cat SECRET_FILE)" -d grant_type=client_credentials http://` + defaultListen + `/blink/token`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return f.run(cmd) },
	}
	flags := cmd.Flags()
	flags.StringVar(&f.config, "config", "", "file with the sources, in YAML or JSON")
	flags.BoolVar(&f.check, "check", false, "check the configuration and the credentials without a request, and end")
	flags.StringVar(&f.listen.Addr, "listen", "", "address to listen on (default "+defaultListen+", unless there is a socket)")
	flags.StringVar(&f.listen.Socket, "socket", "", "path of a unix socket to listen on, of mode 0600")
	flags.StringVar(&f.listen.CertFile, "cert", "", "PEM file with the server's certificate, for TLS")
	flags.StringVar(&f.listen.KeyFile, "key", "", "PEM file with its key")
	flags.StringVar(&f.secretFile, "client-secret-file", "", "file with the secret of the clients, at least 16 bytes")
	flags.BoolVar(&f.cache.off, "no-cache", false, "do not share tokens with other runs on this machine")
	flags.StringVar(&f.cache.dir, "cache-dir", "", "directory to keep tokens in, sealed (default: tokensource in your cache directory, as ~/.cache)")
	flags.StringVar(&f.redis, "redis", "", "share tokens by Redis, redis://host:port; with a password: in $"+redisVar)
	flags.BoolVar(&f.verbose, "verbose", false, "log each refused request too, and what each call waits for")
	completeFiles(cmd, "config", "socket", "cert", "key", "client-secret-file")
	return cmd
}

func (f *serveFlags) run(cmd *cobra.Command) error {
	sources, err := f.sources()
	if err != nil {
		return usageError{err}
	}
	if f.check {
		return f.report(cmd, sources)
	}
	store, closeStore, err := f.store()
	if err != nil {
		return err
	}
	defer closeStore()
	listeners, err := f.open()
	if err != nil {
		return usageError{err}
	}
	secret, err := f.secret(cmd, listeners)
	if err != nil {
		return usageError{err}
	}
	defer secret.Remove()
	level := slog.LevelInfo
	if f.verbose {
		level = slog.LevelDebug
	}
	server, err := tokenserver.New(logger(cmd, level), secret, store, sources...)
	if err != nil {
		return err
	}
	out := cmd.OutOrStdout()
	for _, l := range listeners {
		fmt.Fprintln(out, "listening on", l.URL)
	}
	for _, s := range sources {
		fmt.Fprintf(out, "serving /%s/token\n", s.Name)
	}
	fmt.Fprintln(out, "client secret in", secret.Path)
	return server.Run(cmd.Context(), listeners)
}

func (f *serveFlags) sources() ([]config.Source, error) {
	loader := &config.Loader{
		Client: func(caFile, certFile, keyFile string, timeout time.Duration) (*http.Client, []byte, error) {
			return (&sourceFlags{caFile: caFile, certFile: certFile, keyFile: keyFile, timeout: timeout}).httpClient()
		},
	}
	for _, p := range providers() {
		loader.Builtins = append(loader.Builtins, config.Builtin{
			Kind: p.name, IDVar: p.idVar, SecretVar: p.secretVar, BaseVar: p.baseVar, BaseURL: p.baseURL,
		})
	}
	if f.config != "" {
		return loader.File(f.config)
	}
	return loader.Environment()
}

// report is --check.
func (f *serveFlags) report(cmd *cobra.Command, sources []config.Source) error {
	for _, s := range sources {
		if err := s.Check(cmd.Context()); err != nil {
			return err
		}
	}
	if f.secretFile != "" {
		if _, err := gate.ReadSecret(f.secretFile); err != nil {
			return usageError{err}
		}
	}
	for _, s := range sources {
		fmt.Fprintf(cmd.OutOrStdout(), "%s: ok (%s)\n", s.Name, s.Kind)
	}
	return nil
}

func (f *serveFlags) open() ([]listen.Listener, error) {
	activated, err := activation.Listeners()
	if err != nil {
		return nil, err
	}
	var handed []net.Listener
	for _, l := range activated {
		if l != nil {
			handed = append(handed, l)
		}
	}
	if f.listen.Addr == "" && f.listen.Socket == "" && len(handed) == 0 {
		f.listen.Addr = defaultListen
	}
	return listen.Open(f.listen, handed)
}

func (f *serveFlags) secret(cmd *cobra.Command, listeners []listen.Listener) (*gate.Secret, error) {
	if f.secretFile != "" {
		if info, err := os.Stat(f.secretFile); err == nil && private.File(info) != nil {
			warn(cmd, "--client-secret-file: "+private.File(info).Error())
		}
		return gate.ReadSecret(f.secretFile)
	}
	return gate.MakeSecret(listeners[0].Addr().String())
}

// store is that of the token command, or Redis.
func (f *serveFlags) store() (tokensource.Store, func() error, error) {
	if f.redis != "" {
		if u, err := url.Parse(f.redis); err == nil && u.User != nil {
			return nil, nil, usagef("--redis: others can read the command line: put a URL with a password into $%s", redisVar)
		}
	}
	if address := cmp.Or(f.redis, os.Getenv(redisVar)); address != "" {
		client, err := redisurl.Open(address)
		if err != nil {
			return nil, nil, usagef("--redis, $%s: %w", redisVar, err)
		}
		return &redisstore.Store{Client: client}, client.Close, nil
	}
	store, err := f.cache.store()
	if err != nil {
		return nil, nil, err
	}
	return store, func() error { return nil }, nil
}
