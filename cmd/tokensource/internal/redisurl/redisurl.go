// Package redisurl opens the Redis server that a command line names.
package redisurl

import (
	"errors"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"
)

// Open returns a client of the server at url. Its error does not repeat url,
// which may hold a password.
func Open(url string) (*redis.Client, error) {
	options, err := redis.ParseURL(url)
	if err != nil {
		return nil, errors.New("takes a URL: redis://[user:password@]host[:port][/database], or rediss://... for TLS")
	}
	logging.Disable() // what matters comes back as an error
	options.ContextTimeoutEnabled = true
	return redis.NewClient(options), nil
}
