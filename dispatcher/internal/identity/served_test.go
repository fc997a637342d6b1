package identity_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	reflectionv1 "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"

	"multinic.dev/dispatcher/internal/fleet"
	"multinic.dev/dispatcher/internal/identity"
	"multinic.dev/dispatcher/internal/reconcile"
	"multinic.dev/dispatcher/internal/row"
	"multinic.dev/dispatcher/internal/server"
	"multinic.dev/dispatcher/internal/session"
	"multinic.dev/dispatcher/internal/store"
	multinicv1 "multinic.dev/proto/multinic/v1"
	"multinic.dev/testbed/authority"
)

// patience is how long a test waits for what must happen.
const patience = 30 * time.Second

// dispatcher is all of it but the database and the program around it, over real TLS on loopback.
type dispatcher struct {
	t       *testing.T
	address string
	logs    *observer.ObservedLogs
	// servers is the CA of its certificate.
	servers *authority.CA
}

// noTable is a table in which nothing is ever proved.
type noTable struct{}

func (noTable) Commit(_ context.Context, rows []row.Row, _ func([]row.Row) []bool) ([]bool, error) {
	return make([]bool, len(rows)), nil
}

func (noTable) Reread(...string) {}

// serve starts a dispatcher with the identity that make returns, which is given a log.
func serve(t *testing.T, servers *authority.CA, who func(*zap.Logger) (identity.Identity, error)) *dispatcher {
	t.Helper()
	core, logs := observer.New(zapcore.InfoLevel)
	log := zap.New(core)
	callers, err := who(log)
	must(t, err)
	reconciler := reconcile.New(noTable{}, reconcile.Policy{}, zap.NewNop(), time.Now)
	sessions := session.NewServer(reconciler, 100, func() float64 { return 0 })
	made, err := server.New(server.Services{Dispatch: sessions, Fleet: fleet.NewServer(reconciler), Health: health.NewServer()}, callers, log, prometheus.NewRegistry())
	must(t, err)
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	must(t, err)
	running, stop := context.WithCancel(context.Background())
	var others sync.WaitGroup
	others.Go(func() { _ = reconciler.Run(running) })
	reconciler.Changed(store.Change{Full: true})
	others.Go(func() { _ = made.Serve(listener) })
	t.Cleanup(func() {
		made.Stop()
		sessions.Wait()
		stop()
		others.Wait()
	})

	return &dispatcher{t: t, address: listener.Addr().String(), logs: logs, servers: servers}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// write writes a file of the test's own and returns its path.
func write(t *testing.T, content []byte) string {
	t.Helper()
	file, err := os.CreateTemp(t.TempDir(), "")
	must(t, err)
	_, err = file.Write(content)
	must(t, err)
	must(t, file.Close())

	return filepath.Clean(file.Name())
}

// trusting is TLS 1.3 that knows the dispatcher, and shows what is given.
func (d *dispatcher) trusting(pairs ...authority.Pair) *tls.Config {
	d.t.Helper()
	config := &tls.Config{MinVersion: tls.VersionTLS13, RootCAs: x509.NewCertPool()}
	config.RootCAs.AppendCertsFromPEM(d.servers.PEM)
	for _, pair := range pairs {
		certificate, err := tls.X509KeyPair(pair.Certificate, pair.Key)
		must(d.t, err)
		// Whatever CAs the dispatcher says that it knows.
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &certificate, nil }
	}

	return config
}

// dial connects; the connection ends with the test.
func (d *dispatcher) dial(protection credentials.TransportCredentials, options ...grpc.DialOption) *grpc.ClientConn {
	d.t.Helper()
	connection, err := grpc.NewClient(d.address, append(options, grpc.WithTransportCredentials(protection))...)
	must(d.t, err)
	d.t.Cleanup(func() { _ = connection.Close() })

	return connection
}

// openSession opens a session of a node and says nothing; why it ended is nil when a WorkSet came.
func openSession(t *testing.T, connection *grpc.ClientConn, node string) error {
	t.Helper()
	_, err := startSession(t, connection, node)

	return err
}

// startSession is openSession, for a session that goes on.
func startSession(t *testing.T, connection *grpc.ClientConn, node string) (multinicv1.DispatchService_SessionClient, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	stream, err := multinicv1.NewDispatchServiceClient(connection).Session(ctx)
	if err != nil {
		return nil, err
	}
	// What cannot be sent has its reason in what is received.
	_ = stream.Send(&multinicv1.SessionRequest{Message: &multinicv1.SessionRequest_Hello{Hello: &multinicv1.Hello{NodeName: node}}})
	_ = stream.Send(&multinicv1.SessionRequest{Message: &multinicv1.SessionRequest_Report{Report: &multinicv1.NodeReport{}}})
	response, err := stream.Recv()
	if err == nil && response.GetWorkSet() == nil {
		t.Errorf("the first message is %v", response)
	}

	return stream, err
}

// listNodes calls the operators' side.
func listNodes(t *testing.T, connection *grpc.ClientConn) error {
	t.Helper()
	_, err := multinicv1.NewFleetServiceClient(connection).ListNodes(t.Context(), &multinicv1.ListNodesRequest{})

	return err
}

// check calls the health service.
func check(t *testing.T, connection *grpc.ClientConn) error {
	t.Helper()
	_, err := healthv1.NewHealthClient(connection).Check(t.Context(), &healthv1.HealthCheckRequest{})

	return err
}

// reflects asks what services there are.
func reflects(t *testing.T, connection *grpc.ClientConn) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	stream, err := reflectionv1.NewServerReflectionClient(connection).ServerReflectionInfo(ctx)
	must(t, err)
	_ = stream.Send(&reflectionv1.ServerReflectionRequest{MessageRequest: &reflectionv1.ServerReflectionRequest_ListServices{}})
	_, err = stream.Recv()

	return err
}

// missing calls a method that there is not.
func missing(t *testing.T, connection *grpc.ClientConn) error {
	t.Helper()

	return connection.Invoke(t.Context(), "/multinic.v1.FleetService/Missing", &multinicv1.ListNodesRequest{}, &multinicv1.ListNodesResponse{})
}

// stranger calls a method of a service that there is not.
func stranger(t *testing.T, connection *grpc.ClientConn) error {
	t.Helper()

	return connection.Invoke(t.Context(), "/some.Service/Method", &multinicv1.ListNodesRequest{}, &multinicv1.ListNodesResponse{})
}

// refused requires that a call was refused so, and that the caller learned nothing else.
func refused(t *testing.T, what string, err error, code codes.Code) {
	t.Helper()
	said := map[codes.Code]string{codes.Unauthenticated: "unauthenticated", codes.PermissionDenied: "permission denied", codes.Unavailable: "unavailable"}
	if got := status.Convert(err); got.Code() != code || got.Message() != said[code] {
		t.Errorf("%s: got %v, want %v", what, err, code)
	}
}

// cut requires that a connection was not made.
func cut(t *testing.T, what string, err error) {
	t.Helper()
	if status.Code(err) != codes.Unavailable {
		t.Errorf("%s: got %v, want no connection", what, err)
	}
}

// allowed requires that a call was not refused.
func allowed(t *testing.T, what string, err error) {
	t.Helper()
	if err != nil {
		t.Errorf("%s: %v", what, err)
	}
}

// why are the reasons that the log has for what was refused.
func (d *dispatcher) why() []string {
	var reasons []string
	for _, one := range d.logs.FilterMessage("a call was refused").All() {
		reasons = append(reasons, one.ContextMap()["why"].(string)) //nolint:forcetypeassert // it panics, and the test shows it
	}

	return reasons
}
