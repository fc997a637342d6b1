package session

import (
	"time"

	"multinic.dev/executor/internal/retry"
)

const (
	// firstWait is short enough that a dispatcher's restart is hardly noticed, and lastWait long enough that a fleet that
	// waits for it costs nothing.
	firstWait = 200 * time.Millisecond
	lastWait  = 10 * time.Second
	// awayWait is how long to stay away after another session of this node has taken the place of this one, and awayJitter
	// how much longer by chance at most.
	awayWait   = 30 * time.Second
	awayJitter = 15 * time.Second
)

// waits says how long to wait between two sessions.
type waits struct {
	chance func() float64
	grown  *retry.Waits
}

func newWaits(chance func() float64) waits {
	return waits{chance: chance, grown: retry.New(firstWait, lastWait, chance)}
}

// next is the wait after a session. One that brought work was a good one: the next failure is a first one again.
func (w waits) next(ended *stream) time.Duration {
	if ended.received != 0 {
		w.grown.Reset()
	}
	if ended.replaced {
		return awayWait + time.Duration(w.chance()*float64(awayJitter))
	}

	return w.grown.Next()
}
