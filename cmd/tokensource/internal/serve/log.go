package serve

import (
	"bytes"
	"context"
	"log/slog"
	"strings"

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

// errorLog is what net/http has to say: mostly of what strangers send, which
// could fill the log.
type errorLog struct{ log *slog.Logger }

func (l errorLog) Write(p []byte) (int, error) {
	level := slog.LevelDebug
	if bytes.HasPrefix(p, []byte("http: panic")) {
		level = slog.LevelError
	}
	l.log.Log(context.Background(), level, strings.TrimSpace(string(p)))
	return len(p), nil
}
