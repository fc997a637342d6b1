package vm

import "time"

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
)

func after(d time.Duration) <-chan time.Time { return time.After(d) }
