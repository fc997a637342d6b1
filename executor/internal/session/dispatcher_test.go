package session_test

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/test/bufconn"

	"multinic.dev/executor/internal/latest"
	"multinic.dev/executor/internal/session"
	"multinic.dev/executor/internal/work"
	multinicv1 "multinic.dev/proto/multinic/v1"
)

// dispatcher plays the dispatcher: each session that is opened is handed to the test, which says what to do in it.
type dispatcher struct {
	multinicv1.UnimplementedDispatchServiceServer

	sessions chan *played
}

// played is a session as the test plays it.
type played struct {
	multinicv1.DispatchService_SessionServer

	t      *testing.T
	opened time.Time
	end    chan error
}

func (d *dispatcher) Session(stream multinicv1.DispatchService_SessionServer) error {
	p := &played{DispatchService_SessionServer: stream, opened: time.Now(), end: make(chan error, 1)}
	d.sessions <- p
	select {
	case err := <-p.end:
		return err
	case <-stream.Context().Done():
		return stream.Context().Err()
	}
}

// bench is a client and the dispatcher that it speaks with.
type bench struct {
	*testing.T

	dispatcher *dispatcher
	client     *session.Client
	sets       *latest.Value[work.Set]
	reports    *latest.Value[work.Report]
	logs       *observer.ObservedLogs
	meter      *meter
	listener   *bufconn.Listener
	stop       context.CancelFunc
	// dials counts the connections that were asked for.
	dials atomic.Int32
	// refuse makes each new connection fail; mute also makes all that the client sends vanish on the way.
	refuse, mute atomic.Bool
}

// wire is the client's end of a connection.
type wire struct {
	net.Conn

	mute *atomic.Bool
}

func (w wire) Write(data []byte) (int, error) {
	if w.mute.Load() {
		return len(data), nil
	}

	return w.Conn.Write(data)
}

// meter keeps the numbers.
type meter struct {
	mu         sync.Mutex // guards the others
	connected  bool
	reconnects int
}

func (m *meter) Connected(yes bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.connected = yes
}

func (m *meter) Reconnecting() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.reconnects++
}

func (m *meter) read() (bool, int) {
	m.mu.Lock()
	defer m.mu.Unlock()

	return m.connected, m.reconnects
}

// play runs a test in a bubble of its own time, with a client that runs. Chance always says the given number. In the end all
// goroutines must be gone, or the bubble says that they are deadlocked.
func play(t *testing.T, chance float64, test func(*bench)) {
	t.Helper()
	playKeeping(t, false, chance, test)
}

// playKeeping is play with a client that keeps its connection, or not, when a session is renewed.
func playKeeping(t *testing.T, keep bool, chance float64, test func(*bench)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		core, logs := observer.New(zapcore.InfoLevel)
		b := &bench{
			T: t, dispatcher: &dispatcher{sessions: make(chan *played, 1)}, sets: latest.New[work.Set](), reports: latest.New[work.Report](), logs: logs,
			meter: &meter{}, listener: bufconn.Listen(1 << 16),
		}
		server := grpc.NewServer(grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 10 * time.Second, PermitWithoutStream: true}))
		multinicv1.RegisterDispatchServiceServer(server, b.dispatcher)
		var running sync.WaitGroup
		running.Go(func() {
			if err := server.Serve(b.listener); err != nil {
				t.Error(err)
			}
		})
		b.client = session.New(session.Config{
			Dial: func() (*grpc.ClientConn, func() bool, error) {
				b.dials.Add(1)

				connection, err := session.Dial("passthrough:bench", grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
					if b.refuse.Load() || b.mute.Load() {
						return nil, errors.New("connection refused")
					}

					connection, err := b.listener.DialContext(ctx)

					return wire{Conn: connection, mute: &b.mute}, err
				}))

				return connection, func() bool { return keep }, err
			},
			Hello: &multinicv1.Hello{NodeName: "node", ExecutorVersion: "1.2.3"},
			Facts: &multinicv1.NodeFacts{ExecutorVersion: "1.2.3", Backend: "netlink"},
			Sets:  b.sets, Reports: b.reports, Meter: b.meter, Log: zap.New(core), Chance: func() float64 { return chance },
		})
		ctx, stop := context.WithCancel(t.Context())
		b.stop = stop
		running.Go(func() { b.client.Run(ctx) })
		test(b)
		stop()
		server.Stop()
		running.Wait()
	})
}

// accept is the next session, once the client has opened it.
func (b *bench) accept() *played {
	p := <-b.dispatcher.sessions
	p.t = b.T

	return p
}

// receive is the next message.
func (p *played) receive() *multinicv1.SessionRequest {
	p.t.Helper()
	request, err := p.Recv()
	if err != nil {
		p.t.Fatalf("receive from the executor: %v", err)
	}

	return request
}

// begin receives the Hello and the first report.
func (p *played) begin() *multinicv1.NodeReport {
	p.t.Helper()
	p.receive()

	return p.receive().GetReport()
}

func (p *played) send(response *multinicv1.SessionResponse) {
	p.t.Helper()
	if err := p.Send(response); err != nil {
		p.t.Fatalf("send to the executor: %v", err)
	}
	synctest.Wait()
}

// workSet is a message with one item.
func workSet(generation uint64) *multinicv1.SessionResponse {
	return &multinicv1.SessionResponse{Message: &multinicv1.SessionResponse_WorkSet{WorkSet: &multinicv1.WorkSet{
		Generation: generation,
		Items: []*multinicv1.WorkItem{{
			Key: &multinicv1.Key{MacAddress: mac}, Revision: "r1", RowIds: []int64{7}, Spec: &multinicv1.InterfaceSpec{Address: "192.0.2.10/24"},
		}},
	}}}
}

func drain(reason multinicv1.DrainReason) *multinicv1.SessionResponse {
	return &multinicv1.SessionResponse{Message: &multinicv1.SessionResponse_Drain{Drain: &multinicv1.Drain{Reason: reason}}}
}
