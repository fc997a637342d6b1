package probe_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"multinic.dev/dispatcher/internal/probe"
	"multinic.dev/dispatcher/internal/reconcile"
)

// serve serves on loopback, and returns where.
func serve(t *testing.T) string {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := probe.NewServer(&reconciler{health: reconcile.Health{Read: true}}, prometheus.NewRegistry())
	var serving sync.WaitGroup
	serving.Go(func() { _ = server.Serve(listener) })
	t.Cleanup(func() { _ = server.Close(); serving.Wait() })

	return listener.Addr().String()
}

// dial connects, and says nothing. The connection ends with the test.
func dial(t *testing.T, address string) net.Conn {
	t.Helper()
	connection, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = connection.Close() })

	return connection
}

// isOpen says whether the other end has not closed it.
func isOpen(connection net.Conn) bool {
	_ = connection.SetReadDeadline(time.Now().Add(10 * time.Millisecond))
	_, err := connection.Read(make([]byte, 1))

	return errors.Is(err, os.ErrDeadlineExceeded)
}

// healthz is what /healthz answers within a kubelet's second or so.
func healthz(t *testing.T, address string) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/healthz", nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := (&http.Client{Transport: &http.Transport{}}).Do(request)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, answer.Body)

	return errors.Join(err, answer.Body.Close())
}

func TestWhoConnectsAndSaysNothingGivesWay(t *testing.T) {
	address := serve(t)
	var silent []net.Conn
	for range 300 {
		silent = append(silent, dial(t, address))
	}
	if err := healthz(t, address); err != nil {
		t.Errorf("a probe is kept out: %v", err)
	}
	open := 0
	for _, one := range silent {
		if isOpen(one) {
			open++
		}
	}
	if open > 100 || isOpen(silent[0]) {
		t.Errorf("%d connections are open; the first is: %t", open, isOpen(silent[0]))
	}
}

func TestFewConnectionsAreLeftAlone(t *testing.T) {
	address := serve(t)
	var silent []net.Conn
	for range 90 {
		silent = append(silent, dial(t, address))
	}
	// More come than there may be, but not at once.
	for range 20 {
		if err := healthz(t, address); err != nil {
			t.Fatal(err)
		}
	}
	if !isOpen(silent[0]) {
		t.Error("one of few was closed")
	}
}

func TestAConnectionEndsWithItsAnswer(t *testing.T) {
	connection := dial(t, serve(t))
	if _, err := connection.Write([]byte("GET /healthz HTTP/1.1\r\nHost: dispatcher\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	_ = connection.SetReadDeadline(time.Now().Add(3 * time.Second))
	if _, err := io.ReadAll(connection); err != nil {
		t.Errorf("after the answer: %v", err)
	}
}
