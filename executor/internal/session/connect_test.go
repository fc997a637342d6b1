package session

import (
	"context"
	"errors"
	"net"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// road is how it goes with one try: it takes so long, and fails, or, without an error, is a connection. Nothing else ends it but ctx.
type road struct {
	takes time.Duration
	err   error
}

// outcome is what has come of tries: a connection or an error, after which time, how many there were, and how many of the connections that
// were made are open.
type outcome struct {
	connection  net.Conn
	err         error
	took        time.Duration
	tries, open int
}

// play tries roads in turn, and the last for all further tries.
func play(t *testing.T, roads ...road) (of outcome) {
	t.Helper()
	var mu sync.Mutex // guards made and of.tries
	var made []*watched
	dial := func(ctx context.Context) (net.Conn, error) {
		mu.Lock()
		is := roads[min(of.tries, len(roads)-1)]
		of.tries++
		mu.Unlock()
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(is.takes):
		}
		if is.err != nil {
			return nil, is.err
		}
		one := &watched{}
		mu.Lock()
		defer mu.Unlock()
		made = append(made, one)

		return one, nil
	}
	ctx, cancel := context.WithTimeout(t.Context(), connectTimeout)
	defer cancel()
	began := time.Now()
	of.connection, of.err = firstOf(ctx, dial)
	of.took = time.Since(began)
	of.open = len(slices.DeleteFunc(made, func(w *watched) bool { return w.closed }))

	return of
}

// watched is a connection that knows whether it was closed.
type watched struct {
	net.Conn

	closed bool
}

func (w *watched) Close() error {
	w.closed = true

	return nil
}

func TestOneThatDoesNotAnswerIsNotWaitedForAlone(t *testing.T) {
	refused := errors.New("refused")
	never := time.Hour
	for _, test := range []struct {
		name  string
		roads []road
		// took is in time, of which a bubble has all.
		took  time.Duration
		tries int
		err   error
	}{
		{"the first answers", []road{{takes: 10 * time.Millisecond}}, 10 * time.Millisecond, 1, nil},
		{"the first is silent", []road{{takes: never}, {takes: 10 * time.Millisecond}}, connectAgain + 10*time.Millisecond, 2, nil},
		{"three are silent", []road{{takes: never}, {takes: never}, {takes: never}, {}}, 3 * connectAgain, 4, nil},
		{"the first answers after all", []road{{takes: 1500 * time.Millisecond}, {takes: never}}, 1500 * time.Millisecond, 2, nil},
		{"two answer at the same time", []road{{takes: 2500 * time.Millisecond}, {takes: 1500 * time.Millisecond}}, 2500 * time.Millisecond, 3, nil},
		{"the first is refused", []road{{takes: time.Millisecond, err: refused}}, time.Millisecond, 1, refused},
		{"the second is refused", []road{{takes: 3500 * time.Millisecond}, {err: refused}}, 3500 * time.Millisecond, 4, nil},
		{"all are silent", []road{{takes: never}}, connectTimeout, connectTries, context.DeadlineExceeded},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				got := play(t, test.roads...)
				if !errors.Is(got.err, test.err) || (got.connection == nil) != (test.err != nil) {
					t.Errorf("connection %v, error %v, want %v", got.connection, got.err, test.err)
				}
				if got.took != test.took || got.tries != test.tries {
					t.Errorf("after %v and %d tries, want %v and %d", got.took, got.tries, test.took, test.tries)
				}
				if want := map[bool]int{true: 1, false: 0}[test.err == nil]; got.open != want {
					t.Errorf("%d connections are open, want %d", got.open, want)
				}
			})
		})
	}
}
