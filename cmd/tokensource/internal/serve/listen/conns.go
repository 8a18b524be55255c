package listen

// How many connections there may be, and which has to go.

import (
	"container/list"
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"sync"
)

// MaxConns is how many connections are served at a time, on all listeners.
const MaxConns = 1024

// Conns bounds the connections of a server. A limit alone (as
// netutil.LimitListener's) would let those that say nothing keep out all
// others. Here the connection that has waited longest without a client secret
// is closed for a new one, so that it takes the secret to stay.
type Conns struct {
	Max int // default MaxConns

	mu      sync.Mutex
	known   map[net.Conn]*conn
	strange list.List // of *conn, the oldest first: those without a secret so far
	idle    list.List // of *conn, likewise: those with, between two requests
}

type conn struct {
	net.Conn
	conns   *Conns
	trusted bool
	list    *list.List // that it is in; nil while a trusted one is at work
	place   *list.Element
}

type connKey struct{}

// Configure has a server keep to the bound.
func (c *Conns) Configure(server *http.Server) {
	server.ConnState = c.state
	server.ConnContext = func(ctx context.Context, nc net.Conn) context.Context {
		return context.WithValue(ctx, connKey{}, c.admit(nc)) // before it is read from
	}
}

// Trust says that the connection of a request's context has shown the secret.
func Trust(ctx context.Context) {
	if k, ok := ctx.Value(connKey{}).(*conn); ok {
		k.conns.mu.Lock()
		defer k.conns.mu.Unlock()
		if !k.trusted {
			k.trusted = true
			k.move(nil)
		}
	}
}

func (c *Conns) state(nc net.Conn, state http.ConnState) {
	c.mu.Lock()
	defer c.mu.Unlock()
	k := c.known[nc]
	switch {
	case k == nil: // it has been cut
	case state == http.StateClosed || state == http.StateHijacked:
		k.move(nil)
		delete(c.known, nc)
	case k.trusted && state == http.StateActive:
		k.move(nil)
	case k.trusted && state == http.StateIdle:
		k.move(&c.idle)
	}
}

// admit makes room for a new connection.
func (c *Conns) admit(nc net.Conn) *conn {
	c.mu.Lock()
	defer c.mu.Unlock()
	limit := c.Max
	if limit == 0 {
		limit = MaxConns
	}
	if c.known == nil {
		c.known = map[net.Conn]*conn{}
	}
	k := &conn{Conn: nc, conns: c}
	if len(c.known) >= limit {
		victim := c.strange.Front()
		if victim == nil {
			victim = c.idle.Front()
		}
		if victim == nil { // all are at work, with the secret
			k.cut()
			return k
		}
		old := victim.Value.(*conn)
		old.move(nil)
		delete(c.known, old.Conn)
		old.cut()
	}
	c.known[nc] = k
	k.move(&c.strange)
	return k
}

// move puts a connection at the end of a list; Conns.mu is held.
func (k *conn) move(to *list.List) {
	if k.list != nil {
		k.list.Remove(k.place)
	}
	if k.list = to; to != nil {
		k.place = to.PushBack(k)
	}
}

// cut does not wait, as a TLS connection would to say goodbye.
func (k *conn) cut() {
	if t, ok := k.Conn.(*tls.Conn); ok {
		t.NetConn().Close()
		return
	}
	k.Conn.Close()
}
