// Package latest hands the newest of a series of values from one goroutine to another: one that was not taken yet is
// replaced, so nothing piles up however slow the taker is.
package latest

import "sync"

// Value is the newest of a series of values. Safe for concurrent use; one goroutine at a time takes from it.
type Value[T any] struct {
	mu    sync.Mutex // guards value and set, and what of moved goes with them
	value T
	set   bool
	moved chan struct{}
}

// New returns a Value that nothing was put into yet.
func New[T any]() *Value[T] { return &Value[T]{moved: make(chan struct{}, 1)} }

// Put makes value the newest. It never waits.
func (v *Value[T]) Put(value T) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.value, v.set = value, true
	select {
	case v.moved <- struct{}{}:
	default:
	}
}

// Get returns the newest value, and whether there is one. It stays for the next Get, but Moved is silent until the next Put.
func (v *Value[T]) Get() (T, bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	select {
	case <-v.moved:
	default:
	}

	return v.value, v.set
}

// Moved has something to receive when there was a Put since the last Get, until it is received.
func (v *Value[T]) Moved() <-chan struct{} { return v.moved }
