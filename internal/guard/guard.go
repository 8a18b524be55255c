// Package guard calls foreign code (sources, hooks, stores), which may panic,
// end its goroutine, hang, or outlive its caller.
package guard

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"unicode"
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

// Await waits for f no longer than ctx allows.
func Await[T any](ctx context.Context, f func() (T, error)) (val T, err error) {
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
// lines in a log. The deferred function that recovered calls it.
func panicked(v any) error {
	text := strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return ' '
	}, fmt.Sprint(v))
	return fmt.Errorf("panic: %s%s", strings.TrimSpace(text), origin())
}

// origin is the innermost function on the stack that is not the runtime's,
// which is where the panic began.
func origin() string {
	pcs := make([]uintptr, 16)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(3, pcs)])
	for {
		f, more := frames.Next()
		if f.Function != "" && !strings.HasPrefix(f.Function, "runtime.") && !strings.Contains(f.Function, "internal/guard.") {
			return fmt.Sprintf(" (in %s, line %d)", f.Function, f.Line)
		}
		if !more {
			return ""
		}
	}
}

// CalledFrom finds a function further up the stack. Nothing else shows that a
// call comes from within a hook, which need not pass its context on.
func CalledFrom(function string) bool {
	pcs := make([]uintptr, 64)
	for skip := 3; ; skip += len(pcs) {
		n := runtime.Callers(skip, pcs)
		frames := runtime.CallersFrames(pcs[:n])
		for more := n > 0; more; {
			var f runtime.Frame
			if f, more = frames.Next(); strings.HasSuffix(f.Function, function) {
				return true
			}
		}
		if n < len(pcs) {
			return false
		}
	}
}
