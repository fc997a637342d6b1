package reconcile

import "time"

const (
	// mostRows is how many rows are committed in one transaction at most: enough to make the cost of a transaction small.
	mostRows = 1000
	// slow is when a transaction takes too long: the table's writer waits for its rows meanwhile.
	slow = 500 * time.Millisecond
	// After a batch that failed there is a pause: a database that does not take commits is not helped by more of them, and each
	// makes every node concerned look at its kernel again.
	firstPause = 200 * time.Millisecond
	lastPause  = 10 * time.Second
)

// pace is how many rows go together, and how long to pause when they fail.
type pace struct {
	rows  int
	pause time.Duration
}

func newPace() pace { return pace{rows: mostRows, pause: firstPause} }

// succeeded adapts the number of rows to how long they took.
func (p *pace) succeeded(took time.Duration) {
	p.pause = firstPause
	if took > slow {
		p.rows = max(1, p.rows/2)
	} else {
		p.rows = min(mostRows, 2*p.rows)
	}
}

// failed says how long to pause, longer each time.
func (p *pace) failed() time.Duration {
	pause := p.pause
	p.pause = min(2*p.pause, lastPause)

	return pause
}
