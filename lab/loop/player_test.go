package loop_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"multinic.dev/lab/fleet"
	multinicv1 "multinic.dev/proto/multinic/v1"
)

// player plays the executor of a node on the wire: it says what a test wants it to say, and when. It belongs to one
// goroutine.
type player struct {
	t      *testing.T
	fleet  *fleet.Fleet
	node   string
	stream multinicv1.DispatchService_SessionClient
	// received has what the dispatcher sent; it is closed with the stream.
	received chan *multinicv1.SessionResponse
	reports  int
}

// play opens a session of a node with the fleet's dispatcher.
func play(t *testing.T, f *fleet.Fleet, node string) *player {
	t.Helper()
	connection, err := grpc.NewClient("unix:"+f.Socket(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	p := &player{t: t, fleet: f, node: node, received: make(chan *multinicv1.SessionResponse, 100)}
	// The dispatcher may still be starting.
	p.stream, err = multinicv1.NewDispatchServiceClient(connection).Session(ctx, grpc.WaitForReady(true))
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.received)
		for {
			response, err := p.stream.Recv()
			if err != nil {
				return
			}
			p.received <- response
		}
	}()
	t.Cleanup(func() {
		cancel()
		for range p.received {
		}
		if err := connection.Close(); err != nil {
			t.Error(err)
		}
	})
	p.send(&multinicv1.SessionRequest{Message: &multinicv1.SessionRequest_Hello{Hello: &multinicv1.Hello{NodeName: node}}})
	return p
}

func (p *player) send(request *multinicv1.SessionRequest) {
	p.t.Helper()
	// Why a stream has ended is told by what is received.
	if err := p.stream.Send(request); err != nil && !errors.Is(err, io.EOF) {
		p.t.Fatalf("send as the executor of %s: %v", p.node, err)
	}
}

// report sends a report.
func (p *player) report(results ...*multinicv1.WorkResult) {
	p.t.Helper()
	p.send(&multinicv1.SessionRequest{Message: &multinicv1.SessionRequest_Report{Report: &multinicv1.NodeReport{Results: results}}})
}

// work is the next WorkSet that has one item, and that with an address.
func (p *player) work(address string) *multinicv1.WorkSet {
	p.t.Helper()
	late := time.NewTimer(fleet.Patience)
	defer late.Stop()
	for {
		select {
		case response, open := <-p.received:
			items := response.GetWorkSet().GetItems()
			switch {
			case !open:
				p.t.Fatalf("the session of %s has ended", p.node)
			case len(items) == 1 && items[0].GetSpec().GetAddress() == address:
				return response.GetWorkSet()
			}
		case <-late.C:
			p.t.Fatalf("%s was not told to have %s", p.node, address)
		}
	}
}

// prove reports that all of a WorkSet was found in the kernel under its generation, and waits until the dispatcher has
// taken that over.
func (p *player) prove(work *multinicv1.WorkSet) {
	p.t.Helper()
	p.reports++
	// No executor says anything of what is READY; here it tells one report from another.
	message := fmt.Sprint("report ", p.reports)
	var results []*multinicv1.WorkResult
	for _, item := range work.GetItems() {
		results = append(results, &multinicv1.WorkResult{
			Key: item.GetKey(), Revision: item.GetRevision(), VerifiedGeneration: work.GetGeneration(), State: multinicv1.State_STATE_READY, Message: message,
		})
	}
	p.report(results...)
	said := ""
	p.fleet.Until(func() bool {
		for _, each := range p.fleet.View(p.node).GetInterfaces() {
			said = each.GetResult().GetMessage()
		}
		return said == message
	}, func() string {
		return fmt.Sprintf("the dispatcher has not taken over %q of %s, but %q", message, p.node, said)
	})
}
