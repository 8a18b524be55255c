package tokensource

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
)

type result[T any] struct {
	val T
	err error
}

var errGoexit = errors.New("the source ended its goroutine (runtime.Goexit)")

// guard runs f on a goroutine of its own, where its panic or Goexit becomes an
// error: neither may take the process or a waiter with it.
func guard[T any](f func() (T, error)) <-chan result[T] {
	done := make(chan result[T], 1)
	go func() {
		r := result[T]{err: errGoexit}
		defer func() {
			if v := recover(); v != nil {
				r.err = fmt.Errorf("panic: %v\n\n%s", v, debug.Stack())
			}
			done <- r
		}()
		r.val, r.err = f()
	}()
	return done
}

// await waits for f no longer than ctx allows.
func await[T any](ctx context.Context, f func() (T, error)) (val T, err error) {
	select {
	case r := <-guard(f):
		if r.err == nil || ctx.Err() == nil {
			return r.val, r.err
		}
	case <-ctx.Done():
	}
	return val, context.Cause(ctx)
}
