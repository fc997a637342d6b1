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
	const (
		passes        = "the table cannot be read or written now: it is tried again; the dispatcher's log says why\n"
		needsSomebody = "the table cannot be read or written: a setting or the database must be changed; the dispatcher's log says which, and how\n"
	)
	r := &reconciler{}
	server := probe.NewServer(r, prometheus.NewRegistry())
	for _, test := range []struct {
		name           string
		health         reconcile.Health
		err            error
		alive, isReady string
	}{
		{"at first", reconcile.Health{}, nil, "200 ok\n", "503 the table has not been read yet\n"},
		{"the database away at first", reconcile.Health{Problem: "root@192.0.2.1"}, nil, "200 ok\n", "503 " + passes},
		{"all is well", reconcile.Health{Read: true}, nil, "200 ok\n", "200 ok\n"},
		{"the database away later", reconcile.Health{Read: true, Problem: "root@192.0.2.1"}, nil, "200 ok\n", "503 " + passes},
		{"the account refused", reconcile.Health{Read: true, Problem: "root@192.0.2.1", NeedsSomebody: true}, nil, "200 ok\n", "503 " + needsSomebody},
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
