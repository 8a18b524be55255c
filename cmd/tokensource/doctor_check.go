package main

// The doctor's checks of this machine, and of a token.

import (
	"context"
	"crypto/rand"
	"errors"
	"os"
	"strings"
	"time"

	"github.com/tokensource-go/tokensource"
	"github.com/tokensource-go/tokensource/cmd/tokensource/internal/private"
)

var errGood = errors.New("the configuration is good")

// checkAddress has the library look at the address and the options, which it
// does before it reads the credentials.
func checkAddress(ctx context.Context, e *tokensource.Endpoint) check {
	unread := *e
	unread.Credentials = func(context.Context) (string, string, error) { return "", "", errGood }
	if _, err := unread.TokenContext(ctx); !errors.Is(err, errGood) {
		return failed(exitUsage, "%s", message(err))
	}
	return passed("%s", e.URL)
}

func (d *doctorCommand) checkCredentials(ctx context.Context, p *provider, e *tokensource.Endpoint) check {
	id, secret, err := e.Credentials(ctx)
	switch {
	case err != nil:
		return failed(exitCredentials, "%s", message(err))
	case strings.TrimSpace(id) != id || strings.TrimSpace(secret) != secret:
		return warning("they begin or end with a blank: were they copied with one too many?")
	case d.source.idFile == "":
		return passed("in %s and %s", p.idVar, p.secretVar)
	}
	for flag, path := range map[string]string{"--id-file": d.source.idFile, "--secret-file": d.source.secretFile} {
		info, err := os.Stat(path)
		if err == nil {
			err = private.File(info)
		}
		if err != nil {
			return warning("%s: %v", flag, withoutPath(err))
		}
	}
	return passed("in the files of --id-file and --secret-file")
}

// checkStore keeps something and forgets it again.
func (d *doctorCommand) checkStore(ctx context.Context, e *tokensource.Endpoint) check {
	store, err := d.cache.store()
	switch {
	case err != nil:
		return failed(exitUsage, "there is no cache directory: set --cache-dir (%v)", err)
	case store == nil:
		return skipped("--no-cache")
	case e.SingleUse:
		return skipped("single-use tokens are not kept")
	}
	key, value := "doctor-"+rand.Text(), []byte("kept")
	err = store.Save(ctx, key, value, time.Minute)
	if err == nil {
		_, _, err = store.Load(ctx, key)
	}
	var unlock func()
	if err == nil {
		_, unlock, err = store.TryLock(ctx, key)
	}
	if err == nil {
		unlock()
	}
	if err = errors.Join(err, store.Delete(ctx, key, value)); err != nil {
		text, _, _ := strings.Cut(err.Error(), "\n")
		return failed(exitUsage, "%s", inFlags(text))
	}
	return passed("works and is private")
}

func (d *doctorCommand) checkToken(ctx context.Context, src tokensource.ContextTokenSource) check {
	if !d.token {
		return skipped("--token asks for one")
	}
	ctx, cancel := context.WithTimeout(ctx, d.source.timeout)
	defer cancel()
	start := time.Now()
	tok, err := src.TokenContext(ctx)
	if err != nil {
		return failed(exitCode(context.Background(), err), "%s", message(err))
	}
	took := time.Since(start).Round(time.Millisecond)
	expiry := expiryOf(tok)
	if expiry.IsZero() {
		return passed("one came after %v; it has no expiry", took)
	}
	return passed("one came after %v; it expires in %v", took, time.Until(expiry).Round(time.Second))
}
