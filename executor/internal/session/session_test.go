package session_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"multinic.dev/executor/internal/plan"
	"multinic.dev/executor/internal/work"
	multinicv1 "multinic.dev/proto/multinic/v1"
)

const mac = "02:00:00:00:00:01"

// report is one that says READY of one interface, as verified under a generation.
func report(stream, number uint64, name string) work.Report {
	return work.Report{
		Generation: work.Generation{Stream: stream, Number: number},
		Results:    []work.Result{{Key: plan.Key{MAC: mac}, Revision: "r1", Name: name}},
	}
}

// words is what a report says of its interfaces.
func words(r *multinicv1.NodeReport) string {
	var text []string
	for _, result := range r.GetResults() {
		text = append(text, fmt.Sprintf("%s %s %q %d", result.GetInterfaceName(), result.GetState(), result.GetRevision(), result.GetVerifiedGeneration()))
	}

	return strings.Join(text, "; ")
}

func TestASessionBeginsWithHelloAndTheReportThatThereIs(t *testing.T) {
	play(t, 0, func(b *bench) {
		synctest.Wait()
		if len(b.dispatcher.sessions) != 0 {
			b.Fatal("a session was opened before there was anything to report")
		}
		b.reports.Put(report(0, 0, "multinic0"))
		s := b.accept()
		if hello := s.receive().GetHello(); hello.GetNodeName() != "node" || hello.GetExecutorVersion() != "1.2.3" {
			b.Errorf("the first message is no Hello: %v", hello)
		}
		first := s.receive().GetReport()
		if got, want := words(first), `multinic0 STATE_READY "" 0`; got != want || first.GetFacts().GetBackend() != "netlink" {
			b.Errorf("the second message says %s of %v, want %s", got, first.GetFacts(), want)
		}
	})
}

func TestTheNewestReportReplacesThoseThatWereNotSentYet(t *testing.T) {
	play(t, 0, func(b *bench) {
		b.reports.Put(report(0, 0, "multinic0"))
		s := b.accept()
		s.begin()
		// Each is larger than what gRPC keeps for a peer that does not read, so that sending soon has to wait.
		const count, size = 50, 200_000
		for n := range count {
			large := report(1, 1, fmt.Sprint(n))
			large.Results[0].Problem = work.Problem{State: multinicv1.State_STATE_FAILED, Message: strings.Repeat("x", size)}
			b.reports.Put(large)
			synctest.Wait()
		}
		var got []string
		for len(got) == 0 || got[len(got)-1] != fmt.Sprint(count-1) {
			got = append(got, s.receive().GetReport().GetResults()[0].GetInterfaceName())
		}
		if len(got) > 5 {
			b.Errorf("the reports %v were all kept", got)
		}
	})
}

func TestAReportIsOnlyProofOnTheStreamOfItsWorkSet(t *testing.T) {
	play(t, 0, func(b *bench) {
		b.reports.Put(report(0, 0, "multinic0"))
		s := b.accept()
		s.begin()
		s.send(workSet(5))
		b.reports.Put(report(1, 5, "multinic0"))
		if got, want := words(s.receive().GetReport()), `multinic0 STATE_READY "r1" 5`; got != want {
			b.Errorf("on its own stream: %s, want %s", got, want)
		}
		s.end <- nil
		s = b.accept()
		if got, want := words(s.begin()), `multinic0 STATE_READY "" 0`; got != want {
			b.Errorf("on the next stream: %s, want %s", got, want)
		}
		// The worker has not yet heard of the new stream, or is just then ready with the old one's.
		b.reports.Put(report(1, 6, "multinic0"))
		if got, want := words(s.receive().GetReport()), `multinic0 STATE_READY "" 0`; got != want {
			b.Errorf("a late report of the old stream: %s, want %s", got, want)
		}
		b.reports.Put(report(2, 1, "multinic0"))
		if got, want := words(s.receive().GetReport()), `multinic0 STATE_READY "r1" 1`; got != want {
			b.Errorf("on its own stream: %s, want %s", got, want)
		}
	})
}

func TestAWorkSetReachesTheWorkerWithTheStreamThatItCameOn(t *testing.T) {
	play(t, 0, func(b *bench) {
		b.reports.Put(work.Report{})
		for stream := uint64(1); stream <= 2; stream++ {
			s := b.accept()
			s.begin()
			s.send(workSet(4))
			set, _ := b.sets.Get()
			if want := (work.Generation{Stream: stream, Number: 4}); set.Generation != want || len(set.Items) != 1 {
				b.Errorf("the worker has %+v, want the generation %+v", set, want)
			}
			s.end <- nil
		}
	})
}

func TestAPictureThatCannotBeRightIsPassedOverAsAWhole(t *testing.T) {
	play(t, 0, func(b *bench) {
		b.reports.Put(work.Report{})
		s := b.accept()
		s.begin()
		s.send(workSet(4))
		twice := workSet(5)
		twice.GetWorkSet().Items = append(twice.GetWorkSet().Items, twice.GetWorkSet().GetItems()[0])
		for _, bad := range []*multinicv1.SessionResponse{twice, workSet(4), workSet(0), {}} {
			s.send(bad)
		}
		if set, _ := b.sets.Get(); set.Generation.Number != 4 {
			b.Errorf("the worker has generation %d", set.Generation.Number)
		}
		var said []string
		for _, entry := range b.logs.FilterMessageSnippet("passed over").All() {
			said = append(said, fmt.Sprint(entry.ContextMap()["error"]))
		}
		want := []string{
			"the key " + mac + ", VLAN 0, stands in it twice", "its generation is not above 4, that of the one before",
			"its generation is 0: they count from 1",
		}
		if !slices.Equal(said, want) {
			b.Errorf("logged %q, want %q", said, want)
		}
		s.send(workSet(6)) // The control: the stream still stands, and what is right passes.
		if set, _ := b.sets.Get(); set.Generation.Number != 6 {
			b.Errorf("the worker has generation %d", set.Generation.Number)
		}
	})
}

func TestAMessageOfANewerDispatcherIsPassedOver(t *testing.T) {
	play(t, 0, func(b *bench) {
		b.reports.Put(work.Report{})
		s := b.accept()
		s.begin()
		unknown := &multinicv1.SessionResponse{}
		if err := proto.Unmarshal(protowire.AppendBytes(protowire.AppendTag(nil, 99, protowire.BytesType), []byte("news")), unknown); err != nil {
			b.Fatal(err)
		}
		s.send(unknown)
		s.send(workSet(1))
		if set, _ := b.sets.Get(); set.Generation.Number != 1 {
			b.Errorf("the worker has generation %d", set.Generation.Number)
		}
	})
}

func TestAReportThatCannotBeSentEndsTheSessionAndIsSaid(t *testing.T) {
	play(t, 0, func(b *bench) {
		b.reports.Put(work.Report{})
		b.accept().begin()
		large := report(1, 1, strings.Repeat("x", 2<<20))
		b.reports.Put(large)
		synctest.Wait()
		const want = "send to the dispatcher: rpc error: code = ResourceExhausted desc = trying to send message larger than max ("
		ended := b.logs.FilterMessage("session ended").All()
		if len(ended) != 1 || !strings.HasPrefix(fmt.Sprint(ended[0].ContextMap()["error"]), want) {
			b.Errorf("logged %v, want once: %s", ended, want)
		}
		b.reports.Put(report(1, 1, "multinic0"))
		b.accept().begin()
	})
}

func TestReadyMeansInSessionAndToldWhatToDo(t *testing.T) {
	play(t, 0, func(b *bench) {
		ready := func(want string) {
			b.Helper()
			synctest.Wait()
			if got := fmt.Sprint(b.client.Ready()); got != want {
				b.Errorf("it says %s, want %s", got, want)
			}
		}
		ready("no session with the dispatcher has been opened yet")
		b.reports.Put(work.Report{})
		s := b.accept()
		s.begin()
		ready("in session, and the dispatcher has not said yet what this node should have")
		s.send(workSet(1))
		ready("<nil>")
		s.end <- nil
		ready("the dispatcher has ended the session")
		b.accept().begin()
		ready("in session, and the dispatcher has not said yet what this node should have")
		b.stop()
		ready("the executor is stopping")
		if connected, _ := b.meter.read(); connected {
			b.Error("the meter says connected")
		}
	})
}
