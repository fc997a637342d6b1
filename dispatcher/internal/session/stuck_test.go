package session_test

import (
	"context"
	"io"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"multinic.dev/dispatcher/internal/reconcile"
	"multinic.dev/dispatcher/internal/row"
	"multinic.dev/dispatcher/internal/session"
	"multinic.dev/dispatcher/internal/store"
	multinicv1 "multinic.dev/proto/multinic/v1"
)

// stuck is a stream whose peer says what it has to say and then reads nothing, unless it is told to: a Send waits until the
// message is read or the stream has ended, as gRPC's does when a peer's window is full.
type stuck struct {
	grpc.ServerStream

	ctx   context.Context //nolint:containedctx // it is what a stream is
	says  chan *multinicv1.SessionRequest
	reads chan *multinicv1.SessionResponse
}

func (s *stuck) Context() context.Context { return s.ctx }

func (s *stuck) Recv() (*multinicv1.SessionRequest, error) {
	select {
	case request := <-s.says:
		return request, nil
	case <-s.ctx.Done():
		return nil, io.EOF
	}
}

func (s *stuck) Send(response *multinicv1.SessionResponse) error {
	select {
	case s.reads <- response:
		return nil
	case <-s.ctx.Done():
		return s.ctx.Err()
	}
}

// noTable is a table in which nothing is ever proved.
type noTable struct{}

func (noTable) Commit(_ context.Context, rows []row.Row, _ func([]row.Row) []bool) ([]bool, error) {
	return make([]bool, len(rows)), nil
}

func (noTable) Reread(...string) {}

func TestAPeerThatReadsNothingHoldsUpNobody(t *testing.T) {
	for _, test := range []struct {
		name    string
		replace bool
		want    codes.Code
		after   time.Duration
	}{
		{"is ended after a while", false, codes.ResourceExhausted, 30 * time.Second},
		{"is ended sooner when another session replaces it", true, codes.Aborted, 5 * time.Second},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := startStuck(t)
				began := time.Now()
				if test.replace {
					if _, err := d.reconciler.Open("a", ""); err != nil {
						t.Fatal(err)
					}
				}
				err := <-d.ended
				if took := time.Since(began); status.Code(err) != test.want || took != test.after {
					t.Errorf("after %v the stream ended with %v, want %v after %v", took, err, test.want, test.after)
				}
			})
		})
	}
}

func TestAPeerThatIsStillReadingItsWorkIsToldWhyItsSessionEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := startStuck(t)
		d.reconciler.Drain()
		synctest.Wait()
		if work := (<-d.peer.reads).GetWorkSet(); work == nil {
			t.Error("the first message is no WorkSet")
		}
		select {
		case err := <-d.ended:
			t.Errorf("the stream ended with %v, and its peer was not told why", err)
		case message := <-d.peer.reads:
			if message.GetDrain().GetReason() != multinicv1.DrainReason_DRAIN_REASON_SHUTDOWN {
				t.Errorf("told %v", message)
			}
			if err := <-d.ended; status.Code(err) != codes.Unavailable {
				t.Errorf("ended with %v", err)
			}
		}
	})
}

// slow is a dispatcher with one session, whose first WorkSet waits to be read.
type slow struct {
	reconciler *reconcile.Reconciler
	peer       *stuck
	// ended has why the session ended, once it has.
	ended chan error
}

// startStuck must be called in a bubble.
func startStuck(t *testing.T) slow {
	t.Helper()
	r := reconcile.New(noTable{}, reconcile.Policy{}, zap.NewNop(), time.Now)
	running, stop := context.WithCancel(t.Context())
	var others sync.WaitGroup
	others.Go(func() { _ = r.Run(running) })
	r.Changed(store.Change{Full: true})

	server := session.NewServer(r, 100, func() float64 { return 0 })
	ctx, cancel := context.WithCancel(t.Context())
	peer := &stuck{ctx: ctx, says: make(chan *multinicv1.SessionRequest, 2), reads: make(chan *multinicv1.SessionResponse)}
	peer.says <- &multinicv1.SessionRequest{Message: &multinicv1.SessionRequest_Hello{Hello: &multinicv1.Hello{NodeName: "a"}}}
	peer.says <- &multinicv1.SessionRequest{Message: &multinicv1.SessionRequest_Report{Report: &multinicv1.NodeReport{}}}
	ended := make(chan error, 1)
	others.Go(func() {
		ended <- server.Session(peer)
		cancel() // As gRPC does.
	})
	t.Cleanup(func() {
		cancel()
		server.Wait()
		stop()
		others.Wait()
	})
	synctest.Wait()

	return slow{reconciler: r, peer: peer, ended: ended}
}
