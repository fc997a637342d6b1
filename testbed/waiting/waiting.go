// Package waiting limits how long a test waits for one thing.
package waiting

import (
	"context"
	"testing"
	"time"
)

// ToSay is what is kept of a test's deadline for saying what it waited for.
const ToSay = 10 * time.Second

// For is the time that a test has for one thing that it waits for: patience, or less if the test's own deadline is near, of which reserve
// is left. A test that is ended by that cannot say what it waited for. The caller calls the function that is returned once it waits no more.
func For(tb testing.TB, patience, reserve time.Duration) (context.Context, context.CancelFunc) {
	tb.Helper()
	deadline := time.Now().Add(patience)
	if t, ok := tb.(interface{ Deadline() (time.Time, bool) }); ok {
		if last, ok := t.Deadline(); ok && last.Add(-reserve).Before(deadline) {
			deadline = last.Add(-reserve)
		}
	}
	// What a test cleans up is waited for, too, when its context has ended.
	return context.WithDeadline(context.WithoutCancel(tb.Context()), deadline)
}
