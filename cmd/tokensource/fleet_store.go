package main

// Where a fleet's tokens lie: in files or in Redis.

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"

	"github.com/tokensource-go/tokensource"
	"github.com/tokensource-go/tokensource/filestore"
	"github.com/tokensource-go/tokensource/redisstore"
)

const (
	redisTimeout = 5 * time.Second  // of the look whether there is a server
	defaultLease = 10 * time.Second // redisstore's; a file's lock has none
)

// storeOrder says which store: that of a directory, or of a Redis server.
type storeOrder struct {
	Dir           string
	Redis, Prefix string
	Lease         time.Duration
}

// open returns the store and what closes it.
func (o storeOrder) open() (tokensource.Store, func() error, error) {
	if o.Redis == "" {
		return &filestore.Store{Dir: o.Dir}, func() error { return nil }, nil
	}
	client, err := o.client()
	if err != nil {
		return nil, nil, err
	}
	return &redisstore.Store{Client: client, Prefix: o.Prefix, Lease: o.Lease}, client.Close, nil
}

func (o storeOrder) client() (*redis.Client, error) {
	options, err := redis.ParseURL(o.Redis)
	if err != nil { // which may repeat a password
		return nil, usagef("--redis takes a URL: redis://[user:password@]host[:port][/database], or rediss://... for TLS")
	}
	logging.Disable() // what matters comes back as an error
	options.ContextTimeoutEnabled = true
	return redis.NewClient(options), nil
}

// prepareStore sees to a store of this run's own, and returns what removes it.
func (f *fleet) prepareStore(ctx context.Context) (o storeOrder, remove func(), err error) {
	if f.Redis == "" {
		o.Dir, err = os.MkdirTemp("", "tokensource-fleet-")
		return o, func() { os.RemoveAll(o.Dir) }, err
	}
	o = storeOrder{Redis: f.Redis, Prefix: "tokensource-fleet-" + rand.Text(), Lease: f.lease}
	client, err := o.client()
	if err != nil {
		return o, nil, err
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(ctx, redisTimeout)
	defer cancel()
	if err := client.Ping(ctx).Err(); err != nil {
		return o, nil, fmt.Errorf("--redis: there is no working server: %w", err)
	}
	return o, func() {}, nil // every key has a time to live
}

// isTimeout tells a store that was too slow from one that does not work.
func isTimeout(err error) bool {
	var t interface{ Timeout() bool }
	return errors.As(err, &t) && t.Timeout()
}
