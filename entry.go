package tokensource

// What a Store has: a token and the failure of the last refresh, sealed, whose
// times need no clock but that of the reader; and the refresh lock.

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"golang.org/x/oauth2"

	"github.com/tokensource-go/tokensource/internal/extra"
	"github.com/tokensource-go/tokensource/internal/guard"
)

const (
	tokenEntry   = "token"
	failureEntry = "failure"
)

type sealedToken struct {
	Token   *oauth2.Token
	Extra   map[string]any // as JSON has it: a whole number comes back as a float64
	Life    time.Duration
	Version int64 // by which the newer of two tokens is known, see fetch
}

type sealedFailure struct {
	Error     Error  // without Err
	Text      string // of Err
	Rejected  bool   // Err is ErrCredentials
	Temporary bool
	Lasted    time.Duration // the outage, when the entry's time is over
	Delay     time.Duration // which doubles
	Spared    time.Duration // of the entry's time, for processes that have no token
}

// loadToken returns the stored token if it is newer than all that this process
// has seen, else ErrNotFound. A token that the API rejected leaves the Store.
func (sh *sharing) loadToken(ctx context.Context, earlier *snapshot) (*snapshot, error) {
	e, err := load[sealedToken](ctx, sh, tokenEntry)
	if err != nil {
		return nil, err
	}
	token := e.content.Token
	known := earlier != nil && token.AccessToken == earlier.token.AccessToken
	if known && earlier.spent.Load() {
		guard.Await(ctx, func() (any, error) {
			return nil, sh.store.Delete(ctx, sh.box.Name(tokenEntry), e.value)
		})
	}
	if known || e.content.Version <= sh.shared.newest {
		return nil, ErrNotFound
	}
	sh.shared.newest, sh.shared.lockSeen = e.content.Version, time.Time{}
	if e.content.Extra != nil {
		token = token.WithExtra(e.content.Extra)
	}
	s := copyToken(token)
	s.loaded, s.life = true, e.content.Life
	s.issued = time.Now().Add(min(e.left, s.expires()) - s.expires())
	s.token.Expiry = s.issued.Round(0).Add(s.life)
	s.plan(sh.early)
	return s, nil
}

// saveToken stores s for the other processes, unless there is a newer one. A
// token without an expiry is not stored, since nothing would remove it.
func (sh *sharing) saveToken(ctx context.Context, s *snapshot, version int64) error {
	ttl := s.expires() - s.age(time.Now())
	if s.single || s.life == never || ttl <= 0 {
		return nil
	}
	if there, err := load[sealedToken](ctx, sh, tokenEntry); err == nil && there.content.Version >= version {
		return nil
	}
	return sh.save(ctx, tokenEntry, sealedToken{&s.token, extra.Of(&s.token), s.life, version}, ttl)
}

// loadFailure returns what another process failed with just now, a *failure, or
// ErrNotFound. All hold until the same moment: a fleet asks as one process would.
func (sh *sharing) loadFailure(ctx context.Context) error {
	stored, err := load[sealedFailure](ctx, sh, failureEntry)
	now, shared, e := time.Now(), stored.content, stored.content.Error
	left, prior := min(stored.left, retryAfterMax), sh.flight.prior
	outagePause := max(0, left-shared.Spared)
	rejected := prior != nil && prior.pause == prior.outagePause // the token, see Invalidate
	if err != nil || outagePause == 0 && (sh.left == 0 || rejected) {
		return ErrNotFound
	}
	e.judged, e.temporary, e.Err = true, shared.Temporary, errors.New(shared.Text)
	if shared.Rejected {
		e.Err, e.fingerprint = ErrCredentials, sh.fingerprint
	}
	e.RetryAfter = min(e.RetryAfter, left) // some of it is over
	f := prior.then(&e, now, now, 1)
	sh.shared.lockSeen = time.Time{}
	f.first = now.Add(left - shared.Lasted)
	f.delay, f.pause, f.outagePause = max(f.delay, shared.Delay), left, outagePause
	return f
}

// saveFailure shares f. Processes that have a token hold a little less long than
// this one, which may be the only one that the provider does not answer.
func (sh *sharing) saveFailure(ctx context.Context, f *failure) error {
	e, _ := errors.AsType[*Error](f.err)
	ttl := max(f.pause/10*9, f.outagePause)
	shared := sealedFailure{Error: *e, Rejected: errors.Is(e, ErrCredentials), Temporary: e.Temporary(),
		Lasted: elapsed(f.first, f.last) + ttl, Delay: f.delay, Spared: ttl - f.outagePause}
	if e.Err != nil {
		shared.Text = e.Err.Error()
	}
	shared.Error.Err = nil
	return sh.save(ctx, failureEntry, shared, ttl)
}

// stored is an entry as it lies in the Store.
type stored[T any] struct {
	value   []byte
	left    time.Duration // that it is to live
	content T
}

// load opens an entry. One that this process cannot use counts as absent.
func load[T any](ctx context.Context, sh *sharing, kind string) (stored[T], error) {
	return guard.Await(ctx, func() (e stored[T], err error) {
		e.value, e.left, err = sh.store.Load(ctx, sh.box.Name(kind))
		plain, ok := sh.box.Open(kind, e.value)
		if err == nil && (!ok || e.left <= 0 || json.Unmarshal(plain, &e.content) != nil) {
			err = ErrNotFound
		}
		return e, err
	})
}

func (sh *sharing) save(ctx context.Context, kind string, what any, ttl time.Duration) error {
	plain, err := json.Marshal(what)
	if err != nil {
		return fmt.Errorf("the token has an extra field that is no JSON: %w", err)
	}
	_, err = guard.Await(ctx, func() (any, error) {
		return nil, sh.store.Save(ctx, sh.box.Name(kind), sh.box.Seal(kind, plain), ttl)
	})
	return err
}

// lease is the refresh lock as this process has it. Close waits for unlock.
type lease struct {
	held   context.Context
	unlock func()
}

// tryLock bounds the attempt, not the lease.
func (sh *sharing) tryLock(ctx context.Context, kind string) (*lease, error) {
	if !sh.begin() {
		return nil, ErrClosed
	}
	leaseCtx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	context.AfterFunc(leaseCtx, sh.end)
	ctx, stop := within(ctx, storeTimeout)
	defer stop()
	l, err := guard.Await(ctx, func() (*lease, error) {
		held, unlock, err := sh.store.TryLock(leaseCtx, sh.box.Name(kind))
		if err == nil && (held == nil || unlock == nil) {
			err = errors.New("the store's TryLock returned neither a lease nor an error")
		}
		if err != nil {
			return nil, err
		}
		l := &lease{held, func() {
			if leaseCtx.Err() != nil { // given back already
				return
			}
			ctx, stop := within(background, storeTimeout)
			defer stop()
			guard.Await(ctx, func() (any, error) { unlock(); return nil, nil })
			cancel()
		}}
		if ctx.Err() != nil { // too late
			unlock()
		}
		return l, nil
	})
	if err != nil {
		cancel()
	}
	return l, err
}

// within bounds what the Store may take of ctx.
func within(ctx context.Context, patience time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, patience,
		fmt.Errorf("the store did not answer within %v: %w", patience, context.DeadlineExceeded))
}
