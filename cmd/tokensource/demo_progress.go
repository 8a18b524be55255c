package main

// What the demo says on stderr while it runs: a bar on a terminal, a line for
// each fault everywhere.

import (
	"fmt"
	"io"
	"os"
	"path"
	"strings"
	"sync"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

type progress struct {
	w        io.Writer
	duration time.Duration
	begin    time.Time

	mu   sync.Mutex               // a line must not fall into the bar
	bar  *progressbar.ProgressBar // nil where stderr is not a terminal
	stop func()
}

func newProgress(w io.Writer, d time.Duration) *progress {
	p := &progress{w: w, duration: d, stop: func() {}}
	if f, ok := w.(*os.File); ok && term.IsTerminal(int(f.Fd())) && os.Getenv("TERM") != "dumb" {
		p.bar = progressbar.NewOptions64(int64(d),
			progressbar.OptionSetWriter(w),
			progressbar.OptionSetWidth(16),
			progressbar.OptionSetElapsedTime(false),
			progressbar.OptionSetPredictTime(false),
			progressbar.OptionClearOnFinish(),
		)
	}
	return p
}

// say prints a line that stays.
func (p *progress) say(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.bar != nil {
		p.bar.Clear()
	}
	fmt.Fprintf(p.w, format+"\n", args...)
}

// start keeps the bar moving, beside what numbers says, until finish.
func (p *progress) start(numbers func() string) {
	if p.bar == nil {
		return
	}
	p.begin = time.Now()
	quit, done := make(chan struct{}), make(chan struct{})
	p.stop = func() { close(quit); <-done }
	go func() {
		defer close(done)
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		for {
			p.draw(numbers())
			select {
			case <-tick.C:
			case <-quit:
				return
			}
		}
	}()
}

func (p *progress) draw(numbers string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.bar.Describe(numbers)
	p.bar.Set64(min(int64(time.Since(p.begin)), int64(p.duration)-1))
}

// numbers are the contenders' so far.
func numbers(contenders []*contender) string {
	var texts []string
	for _, c := range contenders[:2] { // the third would not fit the line
		var done, failed int64
		for _, l := range c.lanes {
			done += l.done.Load()
			failed += l.failed.Load()
		}
		texts = append(texts, fmt.Sprintf("%s %d, %d failed", path.Base(c.name), done, failed))
	}
	return strings.Join(texts, " | ")
}

// finish ends the display.
func (p *progress) finish() {
	p.stop()
	if p.bar != nil {
		p.bar.Finish()
	}
}
