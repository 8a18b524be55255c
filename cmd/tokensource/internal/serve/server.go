// Package serve turns the token endpoints of providers into standard ones on
// this machine: what tokensource serve runs.
package serve

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"golang.org/x/sync/errgroup"

	"github.com/tokensource-go/tokensource"
	"github.com/tokensource-go/tokensource/cmd/tokensource/internal/serve/config"
	"github.com/tokensource-go/tokensource/cmd/tokensource/internal/serve/gate"
	"github.com/tokensource-go/tokensource/cmd/tokensource/internal/serve/listen"
	"github.com/tokensource-go/tokensource/cmd/tokensource/internal/serve/oauth"
)

const (
	readHeaderTimeout = 5 * time.Second
	readTimeout       = 10 * time.Second // headers and body
	writeTimeout      = time.Minute      // from the headers on: it includes the wait for a token
	idleTimeout       = 2 * time.Minute
	drainTimeout      = 15 * time.Second

	// maxHeaderBytes is many times what a token request takes; net/http adds
	// 4 KiB.
	maxHeaderBytes = 8 << 10
)

// Server serves the tokens of its sources.
type Server struct {
	Log    *slog.Logger
	Secret *gate.Secret
	Store  tokensource.Store // nil for none

	sources  []*source
	draining atomic.Bool
}

type source struct {
	config.Source
	cache *tokensource.Cache
}

// Add adds a source; before Handler.
func (s *Server) Add(c config.Source) {
	src := &source{Source: c}
	src.cache = &tokensource.Cache{
		Source:       c.Provider,
		Ready:        c.Ready,
		EarlyRefresh: c.EarlyRefresh,
		Store:        s.Store,
		StoreKey:     c.Certificate,
		OnEvent:      func(ctx context.Context, e tokensource.Event) { s.logEvent(ctx, c.Name, e) },
	}
	s.sources = append(s.sources, src)
}

// Handler is all that is served.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	g := &gate.Gate{Secret: s.Secret}
	for _, src := range s.sources {
		(&oauth.Endpoint{Name: src.Name, Scope: src.Scope, Cache: src.cache, Gate: g, Log: s.Log}).Register(mux)
	}
	mux.HandleFunc("GET /healthz", healthz)
	mux.HandleFunc("GET /readyz", s.readyz)
	return guard(mux)
}

// Run serves until ctx ends, then lets the requests under way end, and closes
// the caches: no lock stays behind in the store.
func (s *Server) Run(ctx context.Context, listeners []listen.Listener) error {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	server := &http.Server{
		Handler:                      s.Handler(),
		Protocols:                    protocols,
		ReadHeaderTimeout:            readHeaderTimeout,
		ReadTimeout:                  readTimeout,
		WriteTimeout:                 writeTimeout,
		IdleTimeout:                  idleTimeout,
		MaxHeaderBytes:               maxHeaderBytes,
		DisableGeneralOptionsHandler: true,
		ErrorLog:                     slog.NewLogLogger(s.Log.Handler(), slog.LevelDebug), // of what strangers send
	}
	new(listen.Conns).Configure(server)
	defer s.close()
	group, ctx := errgroup.WithContext(ctx)
	for _, l := range listeners {
		group.Go(func() error {
			if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
				return err
			}
			return nil
		})
	}
	notify(daemon.SdNotifyReady)
	group.Go(func() error {
		<-ctx.Done()
		notify(daemon.SdNotifyStopping)
		s.draining.Store(true)
		ctx, cancel := context.WithTimeout(context.Background(), drainTimeout)
		defer cancel()
		if err := server.Shutdown(ctx); err != nil {
			return errors.Join(err, server.Close())
		}
		return nil
	})
	return group.Wait()
}

func (s *Server) close() {
	var group errgroup.Group
	for _, src := range s.sources {
		group.Go(src.cache.Close)
	}
	_ = group.Wait()
}

// notify tells systemd, if that started the process.
func notify(state string) { _, _ = daemon.SdNotify(false, state) }
