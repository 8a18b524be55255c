package tokensource

import (
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
