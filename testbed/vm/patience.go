package vm

import (
	"context"
	"testing"
	"time"
)

const (
	// patience is how long anything that a guest is asked for may take: all in it takes some twenty times as long as on a
	// machine. A boot takes twenty seconds.
	patience = 4 * time.Minute
	// letGo is how long qemu's output may be held by others than it.
	letGo = 2 * time.Second
	// socketInterval is how often it is tried whether a socket of qemu's is there, which takes some milliseconds.
	socketInterval = 5 * time.Millisecond

	// makeTimeout is how long it may take to make all snapshots. It takes a minute and a half.
	makeTimeout = 15 * time.Minute

	// toSay is what is kept of a test's deadline for saying what it waited for.
	toSay = 10 * time.Second
)

func after(d time.Duration) <-chan time.Time { return time.After(d) }

// waiting is the time that a test has for one thing that it waits for. It ends before the test's own deadline, when a
// test could not say any more what it waited for.
func waiting(tb testing.TB) (context.Context, context.CancelFunc) {
	tb.Helper()
	deadline := time.Now().Add(patience)
	if t, ok := tb.(interface{ Deadline() (time.Time, bool) }); ok {
		if last, ok := t.Deadline(); ok && last.Add(-toSay).Before(deadline) {
			deadline = last.Add(-toSay)
		}
	}
	// What a test cleans up is waited for, too, when its context has ended.
	return context.WithDeadline(context.WithoutCancel(tb.Context()), deadline)
}
