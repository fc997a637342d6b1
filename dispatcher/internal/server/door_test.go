package server_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"multinic.dev/dispatcher/internal/identity"
	"multinic.dev/dispatcher/internal/server"
	multinicv1 "multinic.dev/proto/multinic/v1"
	"multinic.dev/testbed/authority"
)

const (
	// places is how many connections one address has for those who have proved nothing, where there are to be 24 sessions.
	places = (24 + 1000) / 4
	// patience is how long what must come may take.
	patience = 30 * time.Second
)

// named is an identity that believes whoever says the word.
type named struct{ pair tls.Certificate }

func (n named) Credentials() credentials.TransportCredentials {
	return credentials.NewTLS(&tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{n.pair}})
}

func (named) Authorize(ctx context.Context, _ string) (identity.Caller, error) {
	if len(metadata.ValueFromIncomingContext(ctx, "word")) == 0 {
		return identity.Caller{}, &identity.RefusedError{Code: codes.Unauthenticated}
	}

	return identity.Caller{}, nil
}

// entrance is a server behind a door, over real TLS on loopback.
type entrance struct {
	t       *testing.T
	address string
	known   *x509.CertPool
	logs    *observer.ObservedLogs
}

func newEntrance(t *testing.T) *entrance {
	t.Helper()
	ca := authority.New(t, "servers")
	own := ca.Issue(authority.Leaf{Hosts: []string{"127.0.0.1"}})
	pair, err := tls.X509KeyPair(own.Certificate, own.Key)
	if err != nil {
		t.Fatal(err)
	}
	core, logs := observer.New(zap.InfoLevel)
	door := server.NewDoor(24, zap.New(core))
	made, err := server.New(server.Services{
		Dispatch: multinicv1.UnimplementedDispatchServiceServer{}, Fleet: fragile{}, Health: health.NewServer(),
	}, door.Watch(named{pair}), zap.NewNop(), prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() { _ = made.Serve(door.Listen(listener)) })
	t.Cleanup(func() { made.Stop(); serving.Wait() })
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	known := x509.NewCertPool()
	known.AppendCertsFromPEM(ca.PEM)

	return &entrance{t: t, address: net.JoinHostPort("127.0.0.1", port), known: known, logs: logs}
}

// mute opens a connection from 127.0.0.1, and says nothing.
func (e *entrance) mute() net.Conn {
	e.t.Helper()
	connection, err := (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP("127.0.0.1")}}).DialContext(e.t.Context(), "tcp", e.address)
	if err != nil {
		e.t.Fatal(err)
	}
	e.t.Cleanup(func() { _ = connection.Close() })

	return connection
}

// isClosed says whether the other end has closed a connection, which it does at once or, of one that is silent, in ten seconds.
func (e *entrance) isClosed(connection net.Conn) bool {
	e.t.Helper()
	_ = connection.SetReadDeadline(time.Now().Add(2 * time.Second))
	_, err := connection.Read(make([]byte, 1))
	if timeout := net.Error(nil); errors.As(err, &timeout) && timeout.Timeout() {
		return false
	}

	return err != nil
}

// call makes an operator's call from an address, on a connection of its own, which stays, and says how it ended.
func (e *entrance) call(from string, words ...string) error {
	e.t.Helper()

	return e.ask(from, words, func(ctx context.Context, connection *grpc.ClientConn) error {
		_, err := multinicv1.NewFleetServiceClient(connection).ListNodes(ctx, &multinicv1.ListNodesRequest{})

		return err
	})
}

// health is call, for the call that whoever has a credential may make.
func (e *entrance) health(from string, words ...string) error {
	e.t.Helper()

	return e.ask(from, words, func(ctx context.Context, connection *grpc.ClientConn) error {
		_, err := healthv1.NewHealthClient(connection).Check(ctx, &healthv1.HealthCheckRequest{})

		return err
	})
}

func (e *entrance) ask(from string, words []string, call func(context.Context, *grpc.ClientConn) error) error {
	e.t.Helper()
	connection, err := grpc.NewClient(e.address, grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{MinVersion: tls.VersionTLS13, RootCAs: e.known})),
		grpc.WithContextDialer(func(ctx context.Context, address string) (net.Conn, error) {
			return (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}).DialContext(ctx, "tcp", address)
		}))
	if err != nil {
		e.t.Fatal(err)
	}
	e.t.Cleanup(func() { _ = connection.Close() })
	ctx, cancel := context.WithTimeout(e.t.Context(), patience)
	defer cancel()
	ctx = metadata.NewOutgoingContext(ctx, metadata.MD{"word": words})

	return call(ctx, connection)
}

func TestWhoProvesNothingTakesAQuarterOfAllPlaces(t *testing.T) {
	e := newEntrance(t)
	last := e.mute()
	for range places - 1 {
		last = e.mute()
	}
	if !e.isClosed(e.mute()) {
		t.Error("one more is let in")
	}
	if warned := e.logs.FilterMessageSnippet("too many from its address").All(); len(warned) == 0 || warned[0].ContextMap()["address"] != "127.0.0.1" {
		t.Errorf("the log has %v", e.logs.All())
	}
	if err := e.call("127.0.0.2", "please"); err != nil {
		t.Errorf("another address is kept out: %v", err)
	}
	if e.isClosed(last) {
		t.Error("one that was let in is closed")
	}
}

func TestWhoHasProvedWhoItIsTakesNoPlaceFromItsAddress(t *testing.T) {
	e := newEntrance(t)
	for n := range places + 10 {
		if err := e.call("127.0.0.1", "please"); err != nil {
			t.Fatalf("number %d is kept out: %v", n, err)
		}
	}
}

func TestWhoAsksForHealthAloneGoesOnTakingAPlace(t *testing.T) {
	e := newEntrance(t)
	if err := e.health("127.0.0.1", "please"); err != nil {
		t.Fatal(err)
	}
	for range places - 1 {
		e.mute()
	}
	if !e.isClosed(e.mute()) {
		t.Error("one more is let in")
	}
	if err := e.call("127.0.0.2", "please"); err != nil {
		t.Errorf("another address is kept out: %v", err)
	}
}

func TestWhoIsRefusedGoesOnTakingAPlace(t *testing.T) {
	e := newEntrance(t)
	if err := e.call("127.0.0.1"); status.Code(err) != codes.Unauthenticated {
		t.Fatalf("the call ended with %v", err)
	}
	for range places - 1 {
		e.mute()
	}
	if !e.isClosed(e.mute()) {
		t.Error("one more is let in")
	}
}

func TestAPlaceIsFreeWhenItsConnectionHasGone(t *testing.T) {
	e := newEntrance(t)
	var all []net.Conn
	for range places {
		all = append(all, e.mute())
	}
	if !e.isClosed(e.mute()) {
		t.Fatal("one more is let in")
	}
	for _, one := range all {
		_ = one.Close()
	}
	for began := time.Now(); e.call("127.0.0.1", "please") != nil; {
		if time.Since(began) > patience {
			t.Fatal("nobody is let in any more")
		}
	}
}
