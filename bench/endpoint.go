package main

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	"golang.org/x/oauth2"
)

// fetch is one request to a token endpoint. Every library gets its tokens by
// one, so that what differs is the library.
type fetch func(ctx context.Context) (access string, expiry time.Time, err error)

// errUnavailable is what the clients of token endpoints commonly make of a 503;
// a status is all that a library has to tell an outage from a mistake.
var errUnavailable = &oauth2.RetrieveError{Response: &http.Response{
	StatusCode: http.StatusServiceUnavailable,
	Status:     "503 Service Unavailable",
}}

// endpoint plays a provider's token endpoint: it counts, takes its time,
// and fails as it is told.
type endpoint struct {
	latency  time.Duration // of an answer, good or bad
	lifetime time.Duration // of a token, from when it was asked for

	// The outage begins with the request of this number (from 1) and lasts
	// outageFor. No number: no outage.
	outageFrom int
	outageFor  time.Duration

	mu       sync.Mutex
	requests []time.Time
	outage   time.Time            // its beginning
	restored time.Time            // when the first token after it went out
	expiries map[string]time.Time // access token → expiry
}

func (e *endpoint) fetch(ctx context.Context) (access string, expiry time.Time, err error) {
	now := time.Now()
	e.mu.Lock()
	e.requests = append(e.requests, now)
	n := len(e.requests)
	if n == e.outageFrom {
		e.outage = now
	}
	down := !e.outage.IsZero() && now.Before(e.outage.Add(e.outageFor))
	e.mu.Unlock()

	answer := time.NewTimer(e.latency)
	defer answer.Stop()
	select {
	case <-answer.C:
	case <-ctx.Done():
		return "", time.Time{}, context.Cause(ctx)
	}
	if down {
		return "", time.Time{}, errUnavailable
	}

	access, expiry = fmt.Sprintf("token-%d", n), now.Add(e.lifetime)
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.expiries == nil {
		e.expiries = map[string]time.Time{}
	}
	e.expiries[access] = expiry
	if !e.outage.IsZero() && e.restored.IsZero() {
		e.restored = time.Now()
	}
	return access, expiry, nil
}

// asked is when each request came.
func (e *endpoint) asked() []time.Time {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.requests)
}

// outageSeen returns when the outage began and when the first token after it
// went out; zero where that has not happened.
func (e *endpoint) outageSeen() (began, restored time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.outage, e.restored
}

// left is how much longer the API would take this token.
func (e *endpoint) left(access string) time.Duration {
	e.mu.Lock()
	defer e.mu.Unlock()
	return time.Until(e.expiries[access])
}

// tokenValid reports whether any token that was handed out is still good.
func (e *endpoint) tokenValid() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, expiry := range e.expiries {
		if time.Now().Before(expiry) {
			return true
		}
	}
	return false
}
