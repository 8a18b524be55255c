package main

import (
	"context"
	"net/http"
)

// source is how every library is asked for a token.
type source interface {
	token(ctx context.Context) (string, error)
}

// library is one contestant. Each has a file of its own, which adapts it.
type library struct {
	name   string
	what   string // what of it is measured
	module string
	window string // what it does before a token expires, if it is left to its defaults

	open func(f fetch) source // a new cache

	// transport adds a token to the requests that go to base.
	transport func(f fetch, base http.RoundTripper) http.RoundTripper

	// Why there is no figure for a read or a request.
	noRead, noTransport string

	// mutex: it holds a sync.Mutex while it asks for a token. See queue.
	mutex bool

	// adapter is how many bytes per cache are this program's own.
	adapter uint64
}

func libraries() []library {
	return []library{tokensourceLibrary, oauth2Library, googleLibrary, awsLibrary, clientGoLibrary, azureLibrary}
}

// virtual opens a cache for use in virtual time.
func (l library) virtual(f fetch) source {
	src := l.open(f)
	if l.mutex {
		return &queue{src, make(chan struct{}, 1)}
	}
	return src
}

// queue lets one caller at a time reach a source. A bubble's clock stands still
// while a goroutine waits for a sync.Mutex, and a library that holds one around
// its request would wait in vain for the answer. With a channel in front of it,
// a call that would have waited for the mutex waits for the channel, as long and
// in the same order.
type queue struct {
	src  source
	turn chan struct{}
}

func (q *queue) token(ctx context.Context) (string, error) {
	q.turn <- struct{}{}
	defer func() { <-q.turn }()
	return q.src.token(ctx)
}
