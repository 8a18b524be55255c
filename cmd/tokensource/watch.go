package main

// tokensource token --watch: a file that always holds a token that is good, for
// programs that can read a file and no more. watch_file.go is the file, child.go
// the command that may run beside it.

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/oauth2"

	"github.com/tokensource-go/tokensource"
)

const watchHelp = `With --watch it keeps a file with the current token until it is ended: read the
file anew for each request. The file is replaced atomically, has mode 0600, and
goes as soon as the token in it is dead and no other is to be had; it is written
again afterwards. It also goes at the end: nothing would keep it fresh. Its
directory must be yours and writable by nobody else; it is made if need be. Beside
the file lies one with .lock at the end of its name: one process keeps a file.
What has to be fixed ends the command at its start only; later it is reported, and
tried again. SIGTERM, SIGINT and SIGHUP end it, with exit code 0.

A command after -- is started once there is a token and finds the file's path in
TOKENSOURCE_FILE; the credentials' variables it does not see. Signals are passed on
to it, and its exit code is passed back. With --signal it is told of each new token,
or another process is.`

const (
	// Between looks at the token, of which the Cache tells at once. A look finds
	// what a suspended machine slept through, and a file that was removed.
	watchInterval = time.Second

	// A token that callers may not have any more stays in the file for this
	// long, if the provider hangs.
	watchPatience = time.Second

	fileVar = "TOKENSOURCE_FILE" // in the environment of the command
)

type watchFlags struct {
	on           bool
	file, signal string
}

func (f *watchFlags) register(cmd *cobra.Command) {
	fs := cmd.PersistentFlags()
	fs.BoolVar(&f.on, "watch", false, "keep a file with the current token, see --file")
	fs.StringVar(&f.file, "file", "", "the file that --watch keeps")
	fs.StringVar(&f.signal, "signal", "", "signal for each new token: PID:NAME as 4711:HUP, or NAME for the command after --")
	completeFiles(cmd, "file")
	completeValues(cmd, "signal", "HUP", "USR1", "USR2")
}

func (f *watchFlags) check(refresh bool, child []string) error {
	switch {
	case !f.on && f.file != "":
		return usagef("--file is for --watch: without it the token goes to stdout")
	case !f.on && (f.signal != "" || len(child) > 0):
		return usagef("--signal and a command after -- are for --watch")
	case f.on && f.file == "":
		return usagef("--watch needs --file")
	case f.on && refresh:
		return usagef("--force-refresh is for one token, not for --watch")
	}
	return nil
}

// watcher keeps a file.
type watcher struct {
	cache *tokensource.Cache
	file  *tokenFile
	print func(*oauth2.Token) []byte
	log   *slog.Logger
	tell  func() // of a new token

	news    chan struct{}
	written *oauth2.Token // what the file holds, nil if there is none
}

func (t *tokenCommand) runWatch(cmd *cobra.Command, child []string, p *provider, cache *tokensource.Cache, format format) (err error) {
	if s, ok := cache.Source.(interface{ SingleUse() bool }); ok && s.SingleUse() {
		return usagef("a token of %s starts one session only, so a file with one is good for its first reader: "+
			"take one for each session (without --watch), or say --reusable if the product's tokens serve all calls", p.name)
	}
	receiver, err := parseSignal(t.watch.signal, len(child) > 0)
	if err != nil {
		return err
	}
	w := &watcher{
		cache: cache,
		print: func(tok *oauth2.Token) []byte { return format.print(p, tok) },
		log:   logger(cmd, slog.LevelInfo).With("provider", p.name),
		news:  make(chan struct{}, 1),
	}
	w.tell = func() {
		if err := receiver.send(); err != nil {
			w.log.Warn("the signal could not be sent", "error", err)
		}
	}
	cache.OnEvent = w.event
	if cache.Store, err = t.cache.store(); err != nil {
		w.log.Warn("going on without kept tokens", "error", err)
	}
	if w.file, err = openTokenFile(t.watch.file); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.file.close()) }()
	defer cache.Close()
	ctx := cmd.Context()
	if err := w.begin(ctx); err != nil || ctx.Err() != nil {
		return err
	}
	if len(child) == 0 {
		w.run(ctx)
		return nil
	}
	// The file is kept until the command has ended, which may take its time
	// over a signal.
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var keeping sync.WaitGroup
	defer keeping.Wait()
	defer cancel()
	return runChild(cmd, child, []string{fileVar + "=" + w.file.path}, func(process *os.Process) {
		receiver.child.Store(process)
		keeping.Go(func() { w.run(ctx) })
	})
}

// begin waits for the first token. An outage is waited for; what has to be fixed
// is an error at once.
func (w *watcher) begin(ctx context.Context) error {
	for ctx.Err() == nil {
		err := w.step(ctx)
		if err == nil || ctx.Err() != nil {
			return nil
		}
		if exitCode(ctx, err) != exitTemporary {
			return err
		}
		w.pause(ctx)
	}
	return nil
}

func (w *watcher) run(ctx context.Context) {
	for w.pause(ctx); ctx.Err() == nil; w.pause(ctx) {
		if err := w.step(ctx); errors.As(err, new(*fileError)) {
			w.log.Error("the file could not be written", "error", err)
		}
	}
}

func (w *watcher) pause(ctx context.Context) {
	timer := time.NewTimer(watchInterval)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-w.news:
	case <-timer.C:
	}
}

// step makes the file hold what the Cache hands out.
func (w *watcher) step(ctx context.Context) error {
	patient, cancel := context.WithTimeout(ctx, watchPatience) // the refresh goes on
	defer cancel()
	tok, err := w.cache.TokenContext(patient)
	switch {
	case ctx.Err() != nil:
		return nil
	case err != nil:
		return errors.Join(err, w.remove("there is no valid token"))
	case w.written != nil && w.written.AccessToken == tok.AccessToken && w.file.there():
		return nil
	}
	if err := w.file.put(w.print(tok)); err != nil {
		if old := w.written; old != nil && !old.Expiry.IsZero() && !time.Now().Before(old.Expiry) {
			err = errors.Join(err, w.remove("the token in it is dead"))
		}
		return err
	}
	w.written = tok
	attrs := []any{}
	if expiry := tok.Expiry; !expiry.IsZero() {
		attrs = append(attrs, "expires_in", time.Until(expiry).Round(time.Second).String())
	}
	w.log.Info("the file holds a new token", attrs...)
	w.tell()
	return nil
}

func (w *watcher) remove(why string) error {
	if w.written != nil {
		w.log.Warn("the file is removed: " + why)
	}
	w.written = nil
	return w.file.remove()
}

// event is told what happens in the Cache.
func (w *watcher) event(_ context.Context, e tokensource.Event) {
	switch e.Kind {
	case tokensource.EventServed, tokensource.EventWaited, tokensource.EventHeld:
		return // of this program's own calls
	case tokensource.EventFailed:
		w.log.Warn("no new token", "error", message(e.Err), "attempts", e.Attempts)
	case tokensource.EventStoreFailed:
		w.log.Warn("going on without kept tokens", "error", e.Err)
	}
	select {
	case w.news <- struct{}{}:
	default:
	}
}
