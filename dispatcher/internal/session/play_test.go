package session_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap/zaptest"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"

	"multinic.dev/dispatcher/internal/fleet"
	"multinic.dev/dispatcher/internal/identity"
	"multinic.dev/dispatcher/internal/reconcile"
	"multinic.dev/dispatcher/internal/server"
	"multinic.dev/dispatcher/internal/session"
	"multinic.dev/dispatcher/internal/store"
	multinicv1 "multinic.dev/proto/multinic/v1"
	"multinic.dev/testbed/mariadb"
	"multinic.dev/testbed/sandbox"
)

func TestMain(m *testing.M) { sandbox.Main(m) }

// patience is how long a test waits for what must happen; what must not happen is proved by what happens after it instead.
const patience = 30 * time.Second

// dispatcher is all of it but the program around it: a real database, the store, the reconciler, and gRPC on a socket.
type dispatcher struct {
	t          *testing.T
	db         *mariadb.Server
	reconciler *reconcile.Reconciler
	grpc       *grpc.Server
	connection *grpc.ClientConn
	// follow begins to read the table; it is called by start, unless a test wants to do it later.
	follow func()
}

// prepare makes a dispatcher that does not read the table yet.
func prepare(t *testing.T) *dispatcher {
	t.Helper()
	d := &dispatcher{t: t, db: mariadb.Start(t)}
	account := d.db.Dispatcher()
	table := store.New(store.Config{
		Host: d.db.Host(), Port: d.db.Port(), User: account.User, Database: account.Database,
		Password: func() (string, error) { return account.Password, nil },
	})
	log := zaptest.NewLogger(t)
	d.reconciler = reconcile.New(table, reconcile.Policy{HoldDown: time.Minute, GuardShare: 0.2}, log, time.Now)
	sessions := session.NewServer(d.reconciler, 100, rand.Float64)
	var err error
	d.grpc, err = server.New(server.Services{Dispatch: sessions, Fleet: fleet.NewServer(d.reconciler), Health: health.NewServer()}, identity.Insecure{}, log, prometheus.NewRegistry())
	must(t, err)
	dir, err := os.MkdirTemp("", "s-") //nolint:usetesting // short: a socket's path has 107 bytes at most
	must(t, err)
	socket := filepath.Join(dir, "s")
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "unix", socket)
	must(t, err)
	d.connection, err = grpc.NewClient("unix:"+socket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	must(t, err)

	following, stopFollowing := context.WithCancel(context.Background())
	running, stopRunning := context.WithCancel(context.Background())
	var follower, others sync.WaitGroup
	d.follow = sync.OnceFunc(func() {
		follower.Go(func() { _ = table.Follow(following, 20*time.Millisecond, d.reconciler) })
	})
	others.Go(func() { _ = d.reconciler.Run(running) })
	others.Go(func() { _ = d.grpc.Serve(listener) })
	t.Cleanup(func() {
		_ = d.connection.Close()
		d.grpc.Stop()
		sessions.Wait()
		stopFollowing()
		follower.Wait()
		stopRunning()
		others.Wait()
		must(t, table.Close())
		must(t, os.RemoveAll(dir))
	})

	return d
}

// start makes a dispatcher whose table has rows already; each is the list of values of an INSERT.
func start(t *testing.T, rows ...string) *dispatcher {
	t.Helper()
	d := prepare(t)
	d.insert(rows...)
	d.follow()

	return d
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (d *dispatcher) sql(statement string) {
	d.t.Helper()
	must(d.t, d.db.Exec(d.t.Context(), statement))
}

// insert writes rows: id, node, MAC and address.
func (d *dispatcher) insert(rows ...string) {
	d.t.Helper()
	for _, row := range rows {
		d.sql("INSERT INTO multi_interface (id, attached_node_name, mac_address, ip_address, subnet_mask) VALUES (" + row + ", '24')")
	}
}

// flags are the flags of all rows, by id, such as "1=0 2=1".
func (d *dispatcher) flags() string {
	d.t.Helper()
	rows, err := d.db.Query(d.t.Context(), "SELECT CONCAT(id, '=', netplan_success) FROM multi_interface ORDER BY id")
	must(d.t, err)
	var words []string
	for _, row := range rows {
		words = append(words, row[0])
	}

	return strings.Join(words, " ")
}

// flagsBecome waits until the flags are so.
func (d *dispatcher) flagsBecome(want string) {
	d.t.Helper()
	got := ""
	await(d.t, func() bool { got = d.flags(); return got == want }, func() string { return "the flags are " + got + ", not " + want })
}

// eventually waits until the reconciler's numbers are so.
func (d *dispatcher) eventually(what string, so func(reconcile.Stats) bool) {
	d.t.Helper()
	var stats reconcile.Stats
	await(d.t, func() (done bool) {
		var err error
		stats, err = d.reconciler.Stats()
		must(d.t, err)

		return so(stats)
	}, func() string { return fmt.Sprintf("%s: never: %+v", what, stats) })
}

// await looks again and again until something is so.
func await(t *testing.T, so func() bool, complaint func() string) {
	t.Helper()
	deadline := time.Now().Add(patience)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !so() {
		if time.Now().After(deadline) {
			t.Fatal(complaint())
		}
		<-tick.C
	}
}

// executor is a test that plays an executor on the wire.
type executor struct {
	t      *testing.T
	stream multinicv1.DispatchService_SessionClient
	// received has what the dispatcher sent; err, once it is closed, why there is no more.
	received chan *multinicv1.SessionResponse
	err      error
}

// dial opens a stream and says nothing.
func (d *dispatcher) dial() *executor {
	d.t.Helper()
	ctx, cancel := context.WithCancel(d.t.Context())
	stream, err := multinicv1.NewDispatchServiceClient(d.connection).Session(ctx)
	must(d.t, err)
	e := &executor{t: d.t, stream: stream, received: make(chan *multinicv1.SessionResponse, 1000)}
	var receiver sync.WaitGroup
	receiver.Go(func() {
		defer close(e.received)
		for {
			response, err := stream.Recv()
			if err != nil {
				e.err = err

				return
			}
			e.received <- response
		}
	})
	d.t.Cleanup(func() {
		cancel()
		receiver.Wait()
	})

	return e
}

// executor opens a session of a node, and says that the node has nothing.
func (d *dispatcher) executor(node string) *executor {
	d.t.Helper()
	e := d.dial()
	e.hello(node)
	e.report()

	return e
}

func (e *executor) send(request *multinicv1.SessionRequest) {
	e.t.Helper()
	must(e.t, e.stream.Send(request))
}

func (e *executor) hello(node string) {
	e.t.Helper()
	e.send(&multinicv1.SessionRequest{Message: &multinicv1.SessionRequest_Hello{Hello: &multinicv1.Hello{NodeName: node}}})
}

func (e *executor) report(results ...*multinicv1.WorkResult) {
	e.t.Helper()
	e.send(&multinicv1.SessionRequest{Message: &multinicv1.SessionRequest_Report{Report: &multinicv1.NodeReport{Results: results}}})
}

// next is the next message.
func (e *executor) next() *multinicv1.SessionResponse {
	e.t.Helper()
	select {
	case response, open := <-e.received:
		if !open {
			e.t.Fatalf("the stream has ended: %v", e.err)
		}

		return response
	case <-time.After(patience):
		e.t.Fatal("the dispatcher sends nothing")
	}

	return nil
}

// work is the next message, which must be a WorkSet.
func (e *executor) work() *multinicv1.WorkSet {
	e.t.Helper()
	work := e.next().GetWorkSet()
	if work == nil {
		e.t.Fatal("the next message is no WorkSet")
	}

	return work
}

// workAt waits for a WorkSet whose only item has an address.
func (e *executor) workAt(address string) *multinicv1.WorkSet {
	e.t.Helper()
	for {
		work := e.work()
		if items := work.GetItems(); len(items) == 1 && items[0].GetSpec().GetAddress() == address {
			return work
		}
	}
}

// end waits until the stream has ended, and returns why.
func (e *executor) end() error {
	e.t.Helper()
	deadline := time.After(patience)
	for {
		select {
		case _, open := <-e.received:
			if !open {
				return e.err
			}
		case <-deadline:
			e.t.Fatal("the stream does not end")
		}
	}
}

// ready are the results that prove all items of a WorkSet.
func ready(work *multinicv1.WorkSet) []*multinicv1.WorkResult {
	var results []*multinicv1.WorkResult
	for _, item := range work.GetItems() {
		results = append(results, &multinicv1.WorkResult{
			Key: item.GetKey(), Revision: item.GetRevision(), VerifiedGeneration: work.GetGeneration(), State: multinicv1.State_STATE_READY,
		})
	}

	return results
}
