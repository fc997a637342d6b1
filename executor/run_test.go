package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"

	"multinic.dev/executor/internal/config"
	multinicv1 "multinic.dev/proto/multinic/v1"
	"multinic.dev/testbed/monitor"
	"multinic.dev/testbed/node"
	"multinic.dev/testbed/oracle"
	"multinic.dev/testbed/sandbox"
)

func TestMain(m *testing.M) { sandbox.Main(m) }

const (
	macA = "02:00:00:00:00:0a"
	macB = "02:00:00:00:00:0b"
	macC = "02:00:00:00:00:0c"
	// patience is how long anything may take that takes milliseconds.
	patience = time.Minute
)

// dispatcher plays the dispatcher, on a unix socket: each session that is opened is handed to the test.
type dispatcher struct {
	multinicv1.UnimplementedDispatchServiceServer

	address  string
	sessions chan multinicv1.DispatchService_SessionServer
}

func (d *dispatcher) Session(stream multinicv1.DispatchService_SessionServer) error {
	d.sessions <- stream
	<-stream.Context().Done()

	return nil
}

func startDispatcher(t *testing.T) *dispatcher {
	t.Helper()
	path := filepath.Join(t.TempDir(), "socket")
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "unix", path)
	if err != nil {
		t.Fatal(err)
	}
	d := &dispatcher{address: "unix:" + path, sessions: make(chan multinicv1.DispatchService_SessionServer, 1)}
	server := grpc.NewServer()
	multinicv1.RegisterDispatchServiceServer(server, d)
	var serving sync.WaitGroup
	serving.Go(func() {
		if err := server.Serve(listener); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() {
		server.Stop()
		serving.Wait()
	})

	return d
}

// stream is a session with the executor, as its dispatcher has it.
type stream struct {
	multinicv1.DispatchService_SessionServer

	t *testing.T
}

// accept waits for the executor's next session and its Hello.
func (d *dispatcher) accept(t *testing.T) stream {
	t.Helper()
	select {
	case opened := <-d.sessions:
		s := stream{opened, t}
		if hello := s.receive().GetHello(); hello.GetNodeName() != "node" {
			t.Fatalf("the first message is no Hello of the node: %v", hello)
		}

		return s
	case <-time.After(patience):
		t.Fatal("the executor opens no session")

		return stream{}
	}
}

func (s stream) receive() *multinicv1.SessionRequest {
	s.t.Helper()
	late := time.AfterFunc(patience, func() { panic("the executor says nothing") })
	defer late.Stop()
	request, err := s.Recv()
	if err != nil {
		s.t.Fatalf("receive from the executor: %v", err)
	}

	return request
}

// send sends a WorkSet.
func (s stream) send(generation uint64, items ...*multinicv1.WorkItem) {
	s.t.Helper()
	if err := s.Send(&multinicv1.SessionResponse{Message: &multinicv1.SessionResponse_WorkSet{
		WorkSet: &multinicv1.WorkSet{Generation: generation, Items: items},
	}}); err != nil {
		s.t.Fatalf("send to the executor: %v", err)
	}
}

// await receives reports until one has as many results as there are lines, each of them settled as the line says: the last digit of
// the MAC, revision, name, state and verified generation.
func (s stream) await(lines ...string) {
	s.t.Helper()
	var got []string
	for deadline := time.Now().Add(patience); !slices.Equal(got, lines); {
		if time.Now().After(deadline) {
			s.t.Fatalf("the last report says\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(lines, "\n"))
		}
		got = nil
		for _, result := range s.receive().GetReport().GetResults() {
			mac := result.GetKey().GetMacAddress()
			got = append(got, fmt.Sprintf("%s %s %s %s %d", mac[len(mac)-1:], result.GetRevision(), result.GetInterfaceName(),
				strings.TrimPrefix(result.GetState().String(), "STATE_"), result.GetVerifiedGeneration()))
		}
	}
}

// executorOn runs the program on a node until stop is called, which returns its exit code.
func executorOn(t *testing.T, n *node.Node, dispatcher, stateDir string) (stop func() int) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan int, 1)
	var running sync.WaitGroup
	running.Go(func() {
		if err := n.Do(func() error {
			ended <- run(ctx, &config.Config{
				Dispatcher: dispatcher, Identity: "insecure", NodeName: "node", Backend: "netlink", StateDir: stateDir, HTTPListen: "127.0.0.1:8081",
			})

			return nil
		}); err != nil {
			t.Error(err)
		}
	})
	stopped := sync.OnceValue(func() int {
		cancel()
		running.Wait()

		return <-ended
	})
	t.Cleanup(func() { stopped() })

	return stopped
}

// get asks the executor on a node over HTTP, and returns the code and the text.
func get(t *testing.T, n *node.Node, path string) string {
	t.Helper()
	var answer string
	err := n.Do(func() error {
		connection, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", "127.0.0.1:8081")
		if err != nil {
			return err
		}
		defer func() { _ = connection.Close() }()
		if _, err := fmt.Fprintf(connection, "GET %s HTTP/1.1\r\nHost: node\r\nConnection: close\r\n\r\n", path); err != nil {
			return err
		}
		response, err := http.ReadResponse(bufio.NewReader(connection), nil)
		if err != nil {
			return err
		}
		defer func() { _ = response.Body.Close() }()
		text, err := io.ReadAll(response.Body)
		answer = fmt.Sprintf("%d %s", response.StatusCode, text)

		return err
	})
	if err != nil {
		t.Fatalf("GET %s: %v", path, err)
	}

	return answer
}

func item(mac, revision, address, gateway string) *multinicv1.WorkItem {
	return &multinicv1.WorkItem{
		Key: &multinicv1.Key{MacAddress: mac}, Revision: revision, RowIds: []int64{1}, Spec: &multinicv1.InterfaceSpec{Address: address, Gateway: gateway},
	}
}

func check(t *testing.T, n *node.Node, rows ...oracle.Row) {
	t.Helper()
	wrong, err := oracle.Check(t.Context(), n, rows, oracle.Expect{Names: map[string]string{macA: "multinic0", macB: "multinic1"}, Without: []string{macC}})
	if err != nil {
		t.Fatal(err)
	}
	for _, each := range wrong {
		t.Errorf("the oracle says %s", each)
	}
}

func TestWorkBecomesInterfacesAndAReportThatProvesThem(t *testing.T) {
	n := node.New(t, "node")
	n.Underlay("eth0", "02:00:00:00:00:01", "10.0.0.10/24", "10.0.0.1", 100, node.NewWire(t, "underlay"))
	n.PlugIn("eth1", macA, nil)
	n.PlugIn("eth2", macB, nil)
	d, stateDir := startDispatcher(t), t.TempDir()
	stop := executorOn(t, n, d.address, stateDir)

	s := d.accept(t)
	s.await()
	if got, want := get(t, n, "/readyz"), "503 in session, and the dispatcher has not said yet what this node should have\n"; got != want {
		t.Errorf("/readyz: %s, want %s", got, want)
	}
	work := []*multinicv1.WorkItem{
		item(macA, "r1", "192.0.2.10/24", "192.0.2.1"), item(macB, "r2", "192.0.2.11/24", "192.0.2.1"), item(macC, "r3", "203.0.113.10/24", ""),
	}
	rows := []oracle.Row{
		{MAC: macA, Address: "192.0.2.10", Mask: "24", Gateway: "192.0.2.1"}, {MAC: macB, Address: "192.0.2.11", Mask: "24", Gateway: "192.0.2.1"},
		{MAC: macC, Address: "203.0.113.10", Mask: "24"},
	}
	s.send(7, work...)
	s.await("a r1 multinic0 READY 7", "b r2 multinic1 READY 7", "c r3  WAITING_FOR_LINK 0")
	check(t, n, rows...)
	if ready, alive := get(t, n, "/readyz"), get(t, n, "/healthz"); ready != "200 ok\n" || alive != "200 ok\n" {
		t.Errorf("/readyz: %s, /healthz: %s", ready, alive)
	}
	numbers := get(t, n, "/metrics")
	for _, want := range []string{
		`multinic_executor_results{state="ready"} 2`, `multinic_executor_results{state="waiting_for_link"} 1`, `multinic_executor_applies_total{outcome="ready"} 2`,
		`multinic_executor_applies_total{outcome="failed"} 0`, `multinic_executor_apply_duration_seconds_count 1`, `multinic_executor_session_connected 1`,
		`multinic_executor_reconnects_total 0`,
	} {
		if !strings.Contains(numbers, want+"\n") {
			t.Errorf("/metrics lacks %s", want)
		}
	}

	// The same again, and the same after a restart: proved anew, in silence.
	m := monitor.Start(t, n)
	m.Mark(t)
	s.send(8, work...)
	s.await("a r1 multinic0 READY 8", "b r2 multinic1 READY 8", "c r3  WAITING_FOR_LINK 0")
	if code := stop(); code != 0 {
		t.Errorf("exit %d", code)
	}
	stop = executorOn(t, n, d.address, stateDir)
	s = d.accept(t)
	s.await("a  multinic0 READY 0", "b  multinic1 READY 0")
	s.send(1, work...)
	s.await("a r1 multinic0 READY 1", "b r2 multinic1 READY 1", "c r3  WAITING_FOR_LINK 0")
	if events := m.Mark(t); len(events) != 0 {
		t.Errorf("the kernel was touched: %v", events)
	}

	// Another address, and a card that comes.
	work[0] = item(macA, "r4", "198.51.100.10/24", "")
	rows[0] = oracle.Row{MAC: macA, Address: "198.51.100.10", Mask: "24"}
	s.send(2, work...)
	s.await("a r4 multinic0 READY 2", "b r2 multinic1 READY 2", "c r3  WAITING_FOR_LINK 0")
	check(t, n, rows...)
	n.PlugIn("eth3", macC, nil)
	s.await("a r4 multinic0 READY 2", "b r2 multinic1 READY 2", "c r3 multinic2 READY 2")

	// A second executor on the same state directory is none.
	if code := executorOn(t, n, d.address, stateDir)(); code != exitBadSetting {
		t.Errorf("a second executor: exit %d", code)
	}
	if code := stop(); code != 0 {
		t.Errorf("exit %d", code)
	}
}
