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

// stuck is a stream whose peer says what it has to say and then reads nothing: a Send waits until the stream has ended, as
// gRPC's does when a peer's window is full.
type stuck struct {
	grpc.ServerStream

	ctx  context.Context //nolint:containedctx // it is what a stream is
	says chan *multinicv1.SessionRequest
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

func (s *stuck) Send(*multinicv1.SessionResponse) error {
	<-s.ctx.Done()

	return s.ctx.Err()
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
		{"is ended at once when another session replaces it", true, codes.Aborted, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := reconcile.New(noTable{}, reconcile.Policy{}, zap.NewNop(), time.Now)
				running, stop := context.WithCancel(t.Context())
				var others sync.WaitGroup
				others.Go(func() { _ = r.Run(running) })
				r.Changed(store.Change{Full: true})

				server := session.NewServer(r)
				ctx, cancel := context.WithCancel(t.Context())
				peer := &stuck{ctx: ctx, says: make(chan *multinicv1.SessionRequest, 2)}
				peer.says <- &multinicv1.SessionRequest{Message: &multinicv1.SessionRequest_Hello{Hello: &multinicv1.Hello{NodeName: "a"}}}
				peer.says <- &multinicv1.SessionRequest{Message: &multinicv1.SessionRequest_Report{Report: &multinicv1.NodeReport{}}}
				ended := make(chan error, 1)
				began := time.Now()
				others.Go(func() {
					ended <- server.Session(peer)
					cancel() // As gRPC does.
				})
				synctest.Wait()
				if test.replace {
					if _, err := r.Open("a", ""); err != nil {
						t.Fatal(err)
					}
				}
				err := <-ended
				if took := time.Since(began); status.Code(err) != test.want || took != test.after {
					t.Errorf("after %v the stream ended with %v, want %v after %v", took, err, test.want, test.after)
				}
				server.Wait()
				stop()
				others.Wait()
			})
		})
	}
}
