package container

import (
	"context"
	"testing"
	"time"
)

const (
	// patience is how long anything that a container is asked for may take: systemd itself gives up on a unit after a
	// minute and a half. A boot takes half a second.
	patience = 100 * time.Second
	// letGo is how long the output of a program that has ended may still be held by what it has started.
	letGo = 2 * time.Second

	// toSay is what is kept of a test's deadline for saying what it waited for, and toEnd is what is left of that when the
	// container is switched off after it, which takes milliseconds.
	toSay = 10 * time.Second
	toEnd = 5 * time.Second
)

// waiting is the time that a test has for one thing that it waits for. It ends while there is still as much as
// reserve until the test's own deadline: a test that is ended by that cannot say what it waited for.
func waiting(tb testing.TB, reserve time.Duration) (context.Context, context.CancelFunc) {
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
