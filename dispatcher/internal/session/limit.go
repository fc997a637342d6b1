package session

import (
	"fmt"
	"sync"

	"golang.org/x/time/rate"
	"google.golang.org/grpc/codes"

	"multinic.dev/dispatcher/internal/identity"
)

const (
	// hellosASecond is how often a node may open a session in the long run, and hellosAtOnce how often of a sudden. An executor that
	// cannot stay waits for longer each time; one that is started again and again by a person fits in.
	hellosASecond = 1
	hellosAtOnce  = 30
)

// limits are what callers can make the server hold.
type limits struct {
	// sessions is how many streams there may be, those included that have not said yet whose they are.
	sessions int

	mu   sync.Mutex // guards the others
	open int
	// hellos are how often each node has opened a session of late. Nodes that have not may be missing.
	hellos map[string]*rate.Limiter
}

// enter counts a stream, unless there are too many; leave must be called at its end.
func (l *limits) enter(caller string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open >= l.sessions {
		return &identity.RefusedError{
			Code: codes.ResourceExhausted, Caller: caller, Why: fmt.Sprintf("there are %d sessions already, as many as --max-sessions allows", l.open),
		}
	}
	l.open++

	return nil
}

func (l *limits) leave() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open--
}

// hello counts that a node opens a session, unless it does so too often.
func (l *limits) hello(node string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.hellos) >= l.sessions {
		for name, of := range l.hellos {
			if of.Tokens() >= hellosAtOnce {
				delete(l.hellos, name)
			}
		}
	}
	of := l.hellos[node]
	switch {
	case of == nil && len(l.hellos) >= l.sessions:
		return &identity.RefusedError{Code: codes.ResourceExhausted, Caller: node, Why: "too many nodes have opened a session of late"}
	case of == nil:
		of = rate.NewLimiter(hellosASecond, hellosAtOnce)
		l.hellos[node] = of
	}
	if !of.Allow() {
		return &identity.RefusedError{Code: codes.ResourceExhausted, Caller: node, Why: "the node opens sessions too often"}
	}

	return nil
}
