// Package said keeps what a program prints while others may look at it.
package said

import (
	"bytes"
	"sync"
)

// Output is what somebody prints. The zero value is empty; it must not be copied. Its methods are safe for concurrent use.
type Output struct {
	mu   sync.Mutex // guards text
	text bytes.Buffer
}

// Write keeps more.
func (o *Output) Write(more []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(more)
}

// String is all that was printed so far.
func (o *Output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}
