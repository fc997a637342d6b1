// Package giver plays a dispatcher with one session, so that nothing but an executor is measured.
package giver

import (
	"errors"
	"net"
	"testing"
	"time"

	"google.golang.org/grpc"

	multinicv1 "multinic.dev/proto/multinic/v1"
)

// Giver gives an executor work. It belongs to one goroutine.
type Giver struct {
	multinicv1.UnimplementedDispatchServiceServer

	// Socket is the path of its socket.
	Socket string

	generation uint64
	work       chan *multinicv1.WorkSet
	reports    chan *multinicv1.NodeReport
	activation string
}

// Start starts a giver that ends with its test.
func Start(tb testing.TB, socket string) *Giver {
	tb.Helper()
	listener, err := (&net.ListenConfig{}).Listen(tb.Context(), "unix", socket)
	if err != nil {
		tb.Fatal(err)
	}
	g := &Giver{Socket: socket, work: make(chan *multinicv1.WorkSet), reports: make(chan *multinicv1.NodeReport, 16)}
	server := grpc.NewServer()
	multinicv1.RegisterDispatchServiceServer(server, g)
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	tb.Cleanup(func() {
		server.Stop()
		if err := <-served; err != nil {
			tb.Error(err)
		}
	})

	return g
}

// Session serves the executor's one session.
func (g *Giver) Session(stream grpc.BidiStreamingServer[multinicv1.SessionRequest, multinicv1.SessionResponse]) error {
	sent := make(chan error, 1)
	go func() {
		for {
			select {
			case <-stream.Context().Done():
				sent <- nil
				return
			case work := <-g.work:
				response := &multinicv1.SessionResponse{Message: &multinicv1.SessionResponse_WorkSet{WorkSet: work}}
				if err := stream.Send(response); err != nil {
					sent <- err
					return
				}
			}
		}
	}()
	for {
		request, err := stream.Recv()
		if err != nil {
			return errors.Join(err, <-sent)
		}
		if report := request.GetReport(); report != nil {
			g.reports <- report
		}
	}
}

// patience is how long an executor may take for a WorkSet. It takes half a second, and on an emulated machine some twenty times that.
const patience = 3 * time.Minute

// Took is how long it takes from a WorkSet until all of its items are proved. What fails meanwhile is said.
func (g *Giver) Took(tb testing.TB, items []*multinicv1.WorkItem) time.Duration {
	tb.Helper()
	g.generation++
	began := time.Now()
	late := time.After(patience)
	select {
	case g.work <- &multinicv1.WorkSet{Generation: g.generation, Items: items}:
	case <-late:
		tb.Fatal("no executor takes work")
	}
	var last *multinicv1.NodeReport
	for {
		select {
		case last = <-g.reports:
		case <-late:
			tb.Fatalf("it takes too long; the last report is %v", last)
		}
		g.activation = last.GetFacts().GetActivation()
		proved := 0
		for _, result := range last.GetResults() {
			if result.GetVerifiedGeneration() == g.generation {
				proved++
			}
			if result.GetState() == multinicv1.State_STATE_FAILED {
				tb.Logf("%v", result)
			}
		}
		if proved == len(items) {
			return time.Since(began)
		}
	}
}

// Activation is what the executor's last report says that changes are made live by.
func (g *Giver) Activation() string { return g.activation }
