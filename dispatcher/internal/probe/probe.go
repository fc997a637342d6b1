// Package probe serves what Kubernetes and Prometheus ask for over HTTP.
package probe

import (
	"container/list"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"multinic.dev/dispatcher/internal/reconcile"
)

// Limits on how long a caller may take to ask, and to take the answer, which ends the connection: who asks again does so seconds later, and
// whoever reaches the port could hold idle connections.
const (
	headerTimeout = 5 * time.Second
	answerTimeout = 30 * time.Second
	// maxHeaders is what a question may have, in bytes, and a few KiB of net/http's own.
	maxHeaders = 8 << 10
)

// What /readyz says of a problem with the table is its kind alone. Whoever reaches the port may ask, and the problem's own words have the database's
// address and account in them, for the log and for operators.
const (
	needsSomebody = "the table cannot be read or written: a setting or the database must be changed; the dispatcher's log says which, and how"
	passes        = "the table cannot be read or written now: it is tried again; the dispatcher's log says why"
)

// Reconciler is what the answers are made of.
type Reconciler interface {
	// Health says how it stands with the table, or that the reconciler has stopped.
	Health() (reconcile.Health, error)
}

// NewServer returns a server of /metrics, /healthz (is the dispatcher alive?) and /readyz (is what it serves the table as it
// is?). It has 100 connections at most, of which the oldest goes for one more. The caller makes it listen and shuts it down.
func NewServer(reconciler Reconciler, metrics prometheus.Gatherer) *http.Server {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", page(metrics))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		_, err := reconciler.Health()
		answer(w, err == nil, text(err))
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		health, err := reconciler.Health()
		switch {
		case err != nil:
			answer(w, false, text(err))
		case health.Problem != "" && health.NeedsSomebody:
			answer(w, false, needsSomebody)
		case health.Problem != "":
			answer(w, false, passes)
		default:
			answer(w, health.Read, "the table has not been read yet")
		}
	})

	few := &newest{open: list.New(), at: map[net.Conn]*list.Element{}}
	server := &http.Server{
		Handler: mux, ReadHeaderTimeout: headerTimeout, ReadTimeout: headerTimeout, WriteTimeout: answerTimeout, MaxHeaderBytes: maxHeaders,
		ConnState: few.changed,
	}
	server.SetKeepAlivesEnabled(false)

	return server
}

func text(err error) string {
	if err == nil {
		return ""
	}

	return err.Error()
}

// answer says "ok", or 503 and why not.
func answer(w http.ResponseWriter, ok bool, why string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	if ok {
		why = "ok"
	} else {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	_, _ = w.Write([]byte(why + "\n")) // Whoever asked has gone: nobody to tell.
}
