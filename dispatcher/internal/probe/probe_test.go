package probe_test

import (
	"net/http"
	"net/http/httptest"
	"strconv"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"multinic.dev/dispatcher/internal/probe"
	"multinic.dev/dispatcher/internal/reconcile"
)

// reconciler answers with what it is.
type reconciler struct {
	health reconcile.Health
	err    error
}

func (r *reconciler) Health() (reconcile.Health, error) { return r.health, r.err }

func TestAnswersSayHowItStands(t *testing.T) {
	r := &reconciler{}
	server := probe.NewServer(r, prometheus.NewRegistry())
	for _, test := range []struct {
		name           string
		health         reconcile.Health
		err            error
		alive, isReady string
	}{
		{"at first", reconcile.Health{}, nil, "200 ok\n", "503 the table has not been read yet\n"},
		{"the database away at first", reconcile.Health{Problem: "away"}, nil, "200 ok\n", "503 away\n"},
		{"all is well", reconcile.Health{Read: true}, nil, "200 ok\n", "200 ok\n"},
		{"the database away later", reconcile.Health{Read: true, Problem: "away"}, nil, "200 ok\n", "503 away\n"},
		{"the end", reconcile.Health{}, reconcile.ErrStopped, "503 the dispatcher is shutting down\n", "503 the dispatcher is shutting down\n"},
	} {
		r.health, r.err = test.health, test.err
		for path, want := range map[string]string{"/healthz": test.alive, "/readyz": test.isReady} {
			if got := ask(t, server, path); got != want {
				t.Errorf("%s: %s answers %q, want %q", test.name, path, got, want)
			}
		}
	}
	if got := ask(t, server, "/elsewhere"); got != "404 404 page not found\n" {
		t.Errorf("an unknown path: %q", got)
	}
}

func ask(t *testing.T, server *http.Server, path string) string {
	t.Helper()
	answer := httptest.NewRecorder()
	server.Handler.ServeHTTP(answer, httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil))

	return strconv.Itoa(answer.Code) + " " + answer.Body.String()
}
