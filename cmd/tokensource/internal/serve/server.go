// Package serve turns the token endpoints of providers into standard ones on
// this machine: what tokensource serve runs.
package serve

import (
	"context"
	"errors"
	"log"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"golang.org/x/sync/errgroup"

	"github.com/tokensource-go/tokensource"
	"github.com/tokensource-go/tokensource/cmd/tokensource/internal/page"
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
	log      *slog.Logger
	gate     *gate.Gate
	sources  []*source
	metrics  *metrics
	draining atomic.Bool
}

type source struct {
	config.Source
	cache   *tokensource.Cache
	history page.History
}

// New returns a server of these sources to those who know the secret. The
// store may be nil.
func New(log *slog.Logger, secret *gate.Secret, store tokensource.Store, sources ...config.Source) (*Server, error) {
	m, err := newMetrics()
	if err != nil {
		return nil, err
	}
	s := &Server{log: log, gate: &gate.Gate{Secret: secret}, metrics: m}
	for _, c := range sources {
		src := &source{Source: c}
		src.cache = &tokensource.Cache{
			Source:       c.Provider,
			Ready:        c.Ready,
			EarlyRefresh: c.EarlyRefresh,
			Store:        store,
			StoreKey:     c.Certificate,
			OnEvent: func(ctx context.Context, e tokensource.Event) {
				src.history.OnEvent(ctx, e)
				s.logEvent(ctx, c.Name, e)
			},
		}
		if err := m.add(src); err != nil {
			return nil, err
		}
		s.sources = append(s.sources, src)
	}
	return s, nil
}

// Handler is all that is served.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	for _, src := range s.sources {
		(&oauth.Endpoint{
			Name: src.Name, Scope: src.Scope, Cache: src.cache, Gate: s.gate, Log: s.log, Answered: src.history.Answered,
		}).Register(mux)
	}
	mux.HandleFunc("GET /healthz", healthz)
	mux.HandleFunc("GET /readyz", s.readyz)
	mux.HandleFunc("GET /metrics", s.metrics.handler(s.gate))
	s.statusPage(mux, s.gate)
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
		ErrorLog:                     log.New(errorLog{s.log}, "", 0),
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
