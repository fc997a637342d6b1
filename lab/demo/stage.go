package main

import (
	"errors"
	"fmt"
	"os"
)

// stage is what a fleet is built on where there is no test: it ends what was begun, and turns a failure into an error. It
// belongs to one goroutine.
type stage struct{ cleanups []func() }

// failure is what Fatalf panics with.
type failure struct{ message string }

// Helper is for tests.
func (*stage) Helper() {}

// Cleanup has f called at the end, before what was asked for earlier.
func (s *stage) Cleanup(f func()) { s.cleanups = append(s.cleanups, f) }

// Fatalf ends the performance.
func (*stage) Fatalf(format string, arguments ...any) {
	panic(failure{fmt.Sprintf(format, arguments...)})
}

// Logf tells what programs have printed, when something went wrong.
func (*stage) Logf(format string, arguments ...any) {
	fmt.Fprintf(os.Stderr, format+"\n", arguments...)
}

// play calls f with a stage, and clears the stage, whatever happens.
func play(f func(*stage) error) (err error) {
	s := &stage{}
	defer func() {
		for len(s.cleanups) > 0 {
			last := s.cleanups[len(s.cleanups)-1]
			s.cleanups = s.cleanups[:len(s.cleanups)-1]
			err = errors.Join(err, guarded(func() error { last(); return nil }))
		}
	}()
	return guarded(func() error { return f(s) })
}

// guarded calls f, and returns a Fatalf as an error.
func guarded(f func() error) (err error) {
	defer func() {
		switch cause := recover().(type) {
		case nil:
		case failure:
			err = errors.New(cause.message)
		default:
			panic(cause)
		}
	}()
	return f()
}
