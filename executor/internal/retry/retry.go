// Package retry says how long to wait before what failed is tried again.
package retry

import (
	"time"

	"github.com/cenkalti/backoff/v5"
)

// Waits are the waits of one thing that is tried in vain again and again. Not safe for concurrent use.
type Waits struct {
	chance func() float64
	steps  *backoff.ExponentialBackOff
}

// New returns waits that double from the first to the last, each made longer by chance, by up to a half, so that many who
// failed together do not all come back at once. None is shorter than first or longer than last. Chance returns random numbers
// of [0, 1), as rand.Float64 does; that the library takes its own from inside is why its own is off.
func New(first, last time.Duration, chance func() float64) *Waits {
	return &Waits{chance: chance, steps: &backoff.ExponentialBackOff{
		InitialInterval: first, Multiplier: 2, MaxInterval: last * 2 / 3, RandomizationFactor: 0,
	}}
}

// Next is the wait after one more failure.
func (w *Waits) Next() time.Duration {
	step := w.steps.NextBackOff()

	return step + time.Duration(w.chance()*float64(step/2))
}

// Reset makes the next wait a first one again.
func (w *Waits) Reset() { w.steps.Reset() }
