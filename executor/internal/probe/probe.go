// Package probe serves what Kubernetes and Prometheus ask for over HTTP.
package probe

import (
	"context"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

const (
	// headerTimeout bounds how long a caller may take to ask.
	headerTimeout = 5 * time.Second
	// answerTimeout bounds how long it may take to take the answer, which ends the connection.
	answerTimeout = 30 * time.Second
	// aliveTimeout is how long the worker may be busy with one round and still count as alive. Rounds take
	// milliseconds; a kubelet asks with a timeout of a second and gives up after three.
	aliveTimeout = 10 * time.Second
)

// Worker is the part that configures the node.
type Worker interface {
	// Alive returns once the worker has shown that it is alive, or why it has not before ctx ended.
	Alive(ctx context.Context) error
}

// Session is the part that speaks with the dispatcher.
type Session interface {
	// Ready says why there is no session in which the node was told what it should have; nil when there is.
	Ready() error
}

// NewServer returns a server of /metrics, /healthz (is the executor alive?) and /readyz (does it know what the node should
// have now?). The caller makes it listen and closes it.
func NewServer(worker Worker, session Session, metrics prometheus.Gatherer) *http.Server {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(metrics, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), aliveTimeout)
		defer cancel()
		answer(w, worker.Alive(ctx))
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) { answer(w, session.Ready()) })

	server := &http.Server{Handler: mux, ReadHeaderTimeout: headerTimeout, ReadTimeout: headerTimeout, WriteTimeout: answerTimeout}
	// Who asks again does so seconds later, and whoever is on the node could hold idle connections.
	server.SetKeepAlivesEnabled(false)

	return server
}

// answer says "ok", or 503 and why not.
func answer(w http.ResponseWriter, err error) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	text := "ok"
	if err != nil {
		text = err.Error()
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	_, _ = w.Write([]byte(text + "\n")) // Whoever asked has gone: nobody to tell.
}
