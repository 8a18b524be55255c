package tokensource

// What is sealed in a Store: a token, and the failure of the last refresh. Their
// times need no clock but that of the reader.

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"golang.org/x/oauth2"

	"github.com/tokensource-go/tokensource/internal/extra"
	"github.com/tokensource-go/tokensource/internal/seal"
)

const (
	tokenEntry   = "token"
	failureEntry = "failure"
)

type sealedToken struct {
	Token   *oauth2.Token
	Extra   map[string]any // as JSON has it: a whole number comes back as a float64
	Life    time.Duration
	Version int64 // see nextVersion
}

type sealedFailure struct {
	Error     Error  // without Err
	Text      string // of Err
	Rejected  bool   // Err is ErrCredentials
	Temporary bool
	Lasted    time.Duration // the outage, until the attempt
	Delay     time.Duration
	Pause     time.Duration
	Keep      time.Duration // after the pause, to tell that the lock has changed hands
}

// nextVersion numbers a new token by when it was asked for: higher than any that
// this process has seen, whatever its clock says, and than those it has not seen,
// too, if the clocks roughly agree.
func (st *sharedState) nextVersion(s *snapshot) int64 {
	st.newest = max(st.newest+1, s.issued.UnixMilli())
	return st.newest
}

// load returns the stored token if it is newer than all that this process has
// seen, else nil. A token that the API rejected leaves the store.
func (sh *sharing) load(ctx context.Context, box *seal.Box, earlier *snapshot) (*snapshot, error) {
	var e sealedToken
	value, left, err := sh.open(ctx, box, tokenEntry, &e)
	if err != nil || value == nil || e.Token == nil || e.Token.AccessToken == "" {
		return nil, err
	}
	if earlier != nil && e.Token.AccessToken == earlier.token.AccessToken {
		if earlier.spent.Load() {
			_, err = inTime(ctx, func(ctx context.Context) (any, error) {
				return nil, sh.store.Delete(ctx, box.Name(tokenEntry), value)
			})
		}
		return nil, err
	}
	if e.Extra != nil {
		e.Token = e.Token.WithExtra(e.Extra)
	}
	if e.Version <= sh.shared.newest {
		return nil, nil
	}
	now := time.Now()
	s := copyToken(e.Token)
	s.loaded, s.life = true, e.Life
	s.issued = now.Add(min(left, hardExpiry(s.life)) - hardExpiry(s.life))
	s.token.Expiry = s.issued.Round(0).Add(s.life)
	s.plan(sh.early)
	if !s.valid(now) {
		return nil, nil
	}
	sh.shared.newest = e.Version
	return s, nil
}

// save stores s for the other processes, unless the lease is lost: then another
// process's token may be there already. A token without an expiry is not stored,
// since nothing would remove it.
func (sh *sharing) save(box *seal.Box, l *lease, s *snapshot, version int64) error {
	ttl := s.expires() - s.age(time.Now())
	if s.life == never || ttl <= 0 {
		return nil
	}
	var there sealedToken
	if sh.open(background, box, tokenEntry, &there); there.Version >= version {
		return nil
	}
	return sh.write(box, l, tokenEntry, sealedToken{&s.token, extra.Of(&s.token), s.life, version}, ttl)
}

// loadFailure returns what another process failed with just now.
func (sh *sharing) loadFailure(ctx context.Context, box *seal.Box) *failure {
	var shared sealedFailure
	_, left, _ := sh.open(ctx, box, failureEntry, &shared)
	if left -= shared.Keep; left <= 0 {
		return nil
	}
	now, e := time.Now(), shared.Error
	e.judged, e.temporary, e.Err = true, shared.Temporary, errors.New(shared.Text)
	if shared.Rejected {
		e.Err, e.fingerprint = ErrCredentials, sh.fingerprint
	}
	f := sh.prior.then(&e, now, now, 1)
	f.first = now.Add(min(left-shared.Pause, 0) - shared.Lasted)
	f.delay = max(f.delay, shared.Delay)
	f.pause, f.outagePause = max(f.pause, left), left
	return f
}

func (sh *sharing) saveFailure(box *seal.Box, l *lease, f *failure) error {
	e, _ := errors.AsType[*Error](f.err)
	shared := sealedFailure{Error: *e, Text: "unknown", Rejected: errors.Is(e, ErrCredentials), Temporary: e.Temporary(),
		Lasted: elapsed(f.first, f.last), Delay: f.delay, Pause: f.outagePause, Keep: sh.stuck}
	if e.Err != nil {
		shared.Text = e.Err.Error()
	}
	shared.Error.Err = nil
	return sh.write(box, l, failureEntry, shared, shared.Pause+shared.Keep)
}

// open opens an entry into what, a pointer. It returns no value for what this
// process cannot use: an entry that it cannot open counts as absent.
func (sh *sharing) open(ctx context.Context, box *seal.Box, kind string, what any) ([]byte, time.Duration, error) {
	value, left, err := sh.read(ctx, box.Name(kind))
	plain, ok := box.Open(kind, value)
	if err != nil || !ok || left <= 0 || json.Unmarshal(plain, what) != nil {
		return nil, 0, err
	}
	return value, left, nil
}

// read returns an entry as it is, nil if there is none.
func (sh *sharing) read(ctx context.Context, key string) ([]byte, time.Duration, error) {
	type loaded struct {
		value []byte
		left  time.Duration
	}
	l, err := inTime(ctx, func(ctx context.Context) (l loaded, err error) {
		l.value, l.left, err = sh.store.Load(ctx, key)
		return l, err
	})
	if errors.Is(err, ErrNotFound) {
		return nil, 0, nil
	}
	return l.value, l.left, err
}

// write seals and saves an entry, unless the lease is lost.
func (sh *sharing) write(box *seal.Box, l *lease, kind string, what any, ttl time.Duration) error {
	if err := l.held.Err(); err != nil {
		return fmt.Errorf("the refresh lock was lost, so nothing was saved: %w", err)
	}
	plain, err := json.Marshal(what)
	if err != nil {
		return fmt.Errorf("the token has an extra field that is no JSON: %w", err)
	}
	_, err = inTime(l.held, func(ctx context.Context) (any, error) {
		return nil, sh.store.Save(ctx, box.Name(kind), box.Seal(kind, plain), ttl)
	})
	return err
}
