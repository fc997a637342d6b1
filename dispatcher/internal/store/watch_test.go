package store_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"multinic.dev/dispatcher/internal/row"
	"multinic.dev/dispatcher/internal/store"
)

// patience is how long a test waits for what must come; it is only ever used up by a test that fails.
const patience = 30 * time.Second

// watcher is a follower that takes all in and never holds Follow up.
type watcher struct {
	t    testing.TB
	news chan struct{} // has room for one

	mu       sync.Mutex // guards all below
	changes  []store.Change
	failures []error
	polls    int
}

var _ store.Follower = &watcher{}

// follow starts to follow; it ends with the test.
func follow(tb testing.TB, s *store.Store, interval time.Duration) *watcher {
	tb.Helper()
	w, end := followUntil(tb, s, interval)
	tb.Cleanup(end)

	return w
}

// followUntil starts to follow until end is called, which returns when Follow has.
func followUntil(tb testing.TB, s *store.Store, interval time.Duration) (w *watcher, end func()) {
	tb.Helper()
	w = &watcher{t: tb, news: make(chan struct{}, 1)}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Follow(ctx, interval, w) }()

	return w, func() {
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			tb.Errorf("Follow returned %v", err)
		}
	}
}

// Changed takes a change in.
func (w *watcher) Changed(change store.Change) {
	w.take(func() { w.changes = append(w.changes, change) })
}

// Failed takes a failure in.
func (w *watcher) Failed(err error) { w.take(func() { w.failures = append(w.failures, err) }) }

// Polled counts a poll.
func (w *watcher) Polled(time.Time) { w.take(func() { w.polls++ }) }

func (w *watcher) take(in func()) {
	w.mu.Lock()
	in()
	w.mu.Unlock()
	select {
	case w.news <- struct{}{}:
	default:
	}
}

// until waits until the condition holds, which is asked under the lock.
func (w *watcher) until(what string, holds func() bool) {
	w.t.Helper()
	deadline := time.After(patience)
	for {
		w.mu.Lock()
		done := holds()
		w.mu.Unlock()
		if done {
			return
		}
		select {
		case <-w.news:
		case <-deadline:
			w.t.Fatalf("waited %v for %s", patience, what)
		}
	}
}

// next takes the oldest change that was not taken yet, and waits for one if there is none.
func (w *watcher) next() store.Change {
	w.t.Helper()
	var change store.Change
	w.until("a change", func() bool {
		if len(w.changes) == 0 {
			return false
		}
		change, w.changes = w.changes[0], w.changes[1:]

		return true
	})

	return change
}

// sees requires that the next change is this.
func (w *watcher) sees(want string) {
	w.t.Helper()
	if got := show(w.next()); got != want {
		w.t.Fatalf("the next change is\n%s\nwant\n%s", got, want)
	}
}

// count is the number of polls so far.
func (w *watcher) count() int {
	w.mu.Lock()
	defer w.mu.Unlock()

	return w.polls
}

// sound waits for two polls from now on, of which the second has begun after now: if a change was there to be seen, it was.
func (w *watcher) sound() {
	w.t.Helper()
	before := w.count()
	w.until("two polls", func() bool { return w.polls >= before+2 })
}

// seesNothing requires that there is no change to be seen.
func (w *watcher) seesNothing() {
	w.t.Helper()
	w.sound()
	w.seesNoMore()
}

// seesNoMore requires that every change so far was taken.
func (w *watcher) seesNoMore() {
	w.t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, change := range w.changes {
		w.t.Errorf("one change more:\n%s", show(change))
	}
}

// failure waits for the next failure.
func (w *watcher) failure() error {
	w.t.Helper()
	var failure error
	w.until("a failure", func() bool {
		if len(w.failures) == 0 {
			return false
		}
		failure, w.failures = w.failures[0], w.failures[1:]

		return true
	})

	return failure
}

// picture reads the whole table.
func picture(tb testing.TB, s *store.Store) store.Change {
	tb.Helper()
	w, end := followUntil(tb, s, time.Hour)
	defer end()
	w.until("the first picture", func() bool { return len(w.changes) > 0 || len(w.failures) > 0 })
	if len(w.failures) > 0 {
		tb.Fatal(w.failures[0])
	}

	return w.next()
}

// rows reads all rows, ordered by node and id.
func rows(tb testing.TB, s *store.Store) []row.Row {
	tb.Helper()
	var all []row.Row
	nodes := picture(tb, s).Nodes
	for _, node := range sorted(nodes) {
		all = append(all, nodes[node]...)
	}

	return all
}

// failsNever requires that there was no failure that was not taken.
func (w *watcher) failsNever() {
	w.t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, failure := range w.failures {
		w.t.Error(failure)
	}
}
