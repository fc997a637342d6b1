package probe_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

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
