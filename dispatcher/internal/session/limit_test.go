package session_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"multinic.dev/dispatcher/internal/identity"
	"multinic.dev/dispatcher/internal/reconcile"
	"multinic.dev/dispatcher/internal/session"
	"multinic.dev/dispatcher/internal/store"
	multinicv1 "multinic.dev/proto/multinic/v1"
)

// limited runs a test in a bubble with a server that has five streams at most. Open opens one of a caller's, with a Hello, or none for "";
// the channel has why it ended, and end ends it.
func limited(t *testing.T, test func(open func(caller identity.Caller, hello string) (ended <-chan error, reads <-chan *multinicv1.SessionResponse, end func()))) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := reconcile.New(noTable{}, reconcile.Policy{}, zap.NewNop(), time.Now)
		running, stop := context.WithCancel(t.Context())
		var others sync.WaitGroup
		others.Go(func() { _ = r.Run(running) })
		r.Changed(store.Change{Full: true})
		server := session.NewServer(r, 5, func() float64 { return 0.5 })
		test(func(caller identity.Caller, hello string) (<-chan error, <-chan *multinicv1.SessionResponse, func()) {
			ctx, cancel := context.WithCancel(identity.With(t.Context(), caller))
			peer := &stuck{ctx: ctx, says: make(chan *multinicv1.SessionRequest, 1), reads: make(chan *multinicv1.SessionResponse, 10)}
			if hello != "" {
				peer.says <- &multinicv1.SessionRequest{Message: &multinicv1.SessionRequest_Hello{Hello: &multinicv1.Hello{NodeName: hello}}}
			}
			ended := make(chan error, 1)
			others.Go(func() {
				ended <- server.Session(peer)
				cancel() // As gRPC does.
			})
			synctest.Wait()

			return ended, peer.reads, func() { cancel(); synctest.Wait() }
		})
		server.Wait()
		stop()
		others.Wait()
	})
}

func TestThereAreNoMoreStreamsThanAreAllowed(t *testing.T) {
	limited(t, func(open func(identity.Caller, string) (<-chan error, <-chan *multinicv1.SessionResponse, func())) {
		var ends []func()
		for n := range 5 {
			// Also those count that have not said whose they are.
			_, _, end := open(identity.Caller{}, []string{"", fmt.Sprint("node-", n)}[n%2])
			ends = append(ends, end)
		}
		ended, _, _ := open(identity.Caller{}, "node-x")
		if err := <-ended; status.Code(err) != codes.ResourceExhausted {
			t.Errorf("one more: %v", err)
		}
		ends[0]()
		ended, _, end := open(identity.Caller{}, "node-x")
		if len(ended) != 0 {
			t.Errorf("when one has ended: %v", <-ended)
		}
		for _, one := range append(ends, end) {
			one()
		}
	})
}

func TestANodeOpensThirtySessionsAtOnceAndThenOneASecond(t *testing.T) {
	limited(t, func(open func(identity.Caller, string) (<-chan error, <-chan *multinicv1.SessionResponse, func())) {
		hello := func(node string) error {
			ended, _, end := open(identity.Caller{Name: "x on " + node, Node: node}, node)
			end()
			if err := <-ended; status.Code(err) != codes.Canceled {
				return err
			}

			return nil
		}
		for n := range 30 {
			if err := hello("node-a"); err != nil {
				t.Errorf("session %d: %v", n, err)
			}
		}
		if err := hello("node-a"); status.Code(err) != codes.ResourceExhausted {
			t.Errorf("one more: %v", err)
		}
		if err := hello("node-b"); err != nil {
			t.Errorf("another node: %v", err)
		}
		time.Sleep(time.Second)
		if err := hello("node-a"); err != nil {
			t.Errorf("a second later: %v", err)
		}
		if err := hello("node-a"); status.Code(err) != codes.ResourceExhausted {
			t.Errorf("and one more: %v", err)
		}
		// What is remembered of nodes is bounded too, and goes.
		for n := range 4 {
			if err := hello(fmt.Sprint("node-", n)); err != nil {
				t.Errorf("node %d: %v", n, err)
			}
		}
		if err := hello("node-new"); status.Code(err) != codes.ResourceExhausted {
			t.Errorf("one node more within a second: %v", err)
		}
		time.Sleep(time.Second)
		if err := hello("node-new"); err != nil {
			t.Errorf("one node more a second later: %v", err)
		}
	})
}

func TestASessionIsRenewedBeforeItsCallerIsBelievedNoMore(t *testing.T) {
	limited(t, func(open func(identity.Caller, string) (<-chan error, <-chan *multinicv1.SessionResponse, func())) {
		began := time.Now()
		ended, reads, _ := open(identity.Caller{Name: "x on a", Node: "a", Until: began.Add(time.Hour)}, "a")
		// Chance says a half, so it ends a twentieth of its time early.
		if err := <-ended; status.Code(err) != codes.Unavailable || time.Since(began) != 57*time.Minute {
			t.Errorf("it ended with %v after %v", err, time.Since(began))
		}
		if said := <-reads; said.GetDrain().GetReason() != multinicv1.DrainReason_DRAIN_REASON_RENEW {
			t.Errorf("it was told %v", said)
		}
	})
}

func TestAHelloOfAnotherNodeIsRefused(t *testing.T) {
	limited(t, func(open func(identity.Caller, string) (<-chan error, <-chan *multinicv1.SessionResponse, func())) {
		ended, _, _ := open(identity.Caller{Name: "x on a", Node: "a"}, "b")
		if err := <-ended; status.Code(err) != codes.PermissionDenied || status.Convert(err).Message() != "permission denied" {
			t.Errorf("it ended with %v", err)
		}
		ended, _, end := open(identity.Caller{Name: "x on a", Node: "a"}, "a")
		if end(); status.Code(<-ended) != codes.Canceled {
			t.Error("its own Hello was refused")
		}
	})
}
