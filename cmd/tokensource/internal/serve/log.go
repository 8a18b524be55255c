package serve

import (
	"context"
	"log/slog"

	"github.com/tokensource-go/tokensource"
)

// logEvent logs what happens to a source. Events hold no secret.
func (s *Server) logEvent(ctx context.Context, name string, e tokensource.Event) {
	level := slog.LevelDebug // what each call may cause
	switch e.Kind {
	case tokensource.EventFetched, tokensource.EventLoaded, tokensource.EventInvalidated:
		level = slog.LevelInfo
	case tokensource.EventFailed, tokensource.EventStoreFailed:
		level = slog.LevelWarn
	}
	s.log.LogAttrs(ctx, level, "token", slog.String("source", name), slog.Any("event", e))
}
