package probe_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"multinic.dev/executor/internal/probe"
)

// part plays the worker and the session; it is well when its error is nil.
type part struct{ err error }

func (p part) Alive(context.Context) error { return p.err }
func (p part) Ready() error                { return p.err }

func TestEachQuestionHasItsOwnAnswer(t *testing.T) {
	gauge := prometheus.NewGauge(prometheus.GaugeOpts{Name: "something", Help: "Something."})
	registry := prometheus.NewRegistry()
	registry.MustRegister(gauge)
	ill := errors.New("it is not well")
	for _, test := range []struct {
		path            string
		worker, session part
		want            string
	}{
		{"/healthz", part{}, part{ill}, "200 ok\n"},
		{"/healthz", part{ill}, part{}, "503 it is not well\n"},
		{"/readyz", part{ill}, part{}, "200 ok\n"},
		{"/readyz", part{}, part{ill}, "503 it is not well\n"},
		{"/metrics", part{}, part{}, "200 # HELP something Something.\n"},
		{"/", part{}, part{}, "404 404 page not found\n"},
	} {
		recorder := httptest.NewRecorder()
		probe.NewServer(test.worker, test.session, registry).Handler.ServeHTTP(recorder, httptest.NewRequestWithContext(t.Context(), http.MethodGet, test.path, nil))
		if got := fmt.Sprintf("%d %s", recorder.Code, recorder.Body); !strings.HasPrefix(got, test.want) {
			t.Errorf("%s: %s, want %s", test.path, got, test.want)
		}
	}
}

func TestAConnectionEndsWithItsAnswer(t *testing.T) {
	server := httptest.NewUnstartedServer(nil)
	server.Config = probe.NewServer(part{}, part{}, prometheus.NewRegistry())
	server.Start()
	defer server.Close()
	connection, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = connection.Close() }()
	if _, err := connection.Write([]byte("GET /readyz HTTP/1.1\r\nHost: node\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	_ = connection.SetReadDeadline(time.Now().Add(3 * time.Second))
	if _, err := io.ReadAll(connection); err != nil {
		t.Errorf("after the answer: %v", err)
	}
}
