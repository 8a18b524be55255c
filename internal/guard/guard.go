// Package guard calls foreign code (sources, hooks, stores), which may panic,
// end its goroutine, hang, or outlive its caller.
package guard

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strconv"
	"strings"
)

// Result is what a call returned.
type Result[T any] struct {
	Val T
	Err error
}

var errGoexit = errors.New("the called function ended its goroutine (runtime.Goexit)")

// Go calls f on a goroutine of its own, on which a panic or Goexit becomes an
// error: neither may take the process or a waiter with it.
func Go[T any](f func() (T, error)) <-chan Result[T] {
	done := make(chan Result[T], 1)
	go func() {
		r := Result[T]{Err: errGoexit}
		defer func() {
			if v := recover(); v != nil {
				r.Err = panicked(v)
			}
			done <- r
		}()
		r.Val, r.Err = f()
	}()
	return done
}

// Await calls f, unless ctx has ended, and waits for it no longer than that allows.
func Await[T any](ctx context.Context, f func() (T, error)) (val T, err error) {
	if ctx.Err() != nil {
		return val, context.Cause(ctx)
	}
	select {
	case r := <-Go(f):
		if r.Err == nil || ctx.Err() == nil {
			return r.Val, r.Err
		}
	case <-ctx.Done():
	}
	return val, context.Cause(ctx)
}

// panicked describes a recovered panic in one line: a stack would be several
// lines in a log. It began in the innermost function that is not the runtime's.
func panicked(v any) error {
	began, _ := find(func(function string) bool {
		return !strings.HasPrefix(function, "runtime.") && !strings.Contains(function, "internal/guard.")
	})
	quoted := strconv.Quote(fmt.Sprint(v))
	return fmt.Errorf("panic: %s (in %s, line %d)", quoted[1:len(quoted)-1], began.Function, began.Line)
}

// CalledFrom finds a function further up the stack. Nothing else shows that a
// call comes from within a hook, which need not pass its context on.
func CalledFrom(function string) bool {
	_, found := find(func(f string) bool { return strings.HasSuffix(f, function) })
	return found
}

// find returns the innermost function on the stack that matches.
func find(match func(function string) bool) (f runtime.Frame, found bool) {
	pcs := make([]uintptr, 1024)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(0, pcs)])
	for more := true; more; {
		f, more = frames.Next()
		if match(f.Function) {
			return f, true
		}
	}
	return f, false
}
