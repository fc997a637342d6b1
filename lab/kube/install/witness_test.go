package install_test

import (
	"slices"
	"strings"
	"testing"

	"multinic.dev/testbed/monitor"
)

// witness hears what the kernels of nodes say.
type witness struct {
	t        *testing.T
	monitors map[string]*monitor.Monitor
}

// listen has the kernels of nodes listened to from now on.
func (s *site) listen(nodes ...string) *witness {
	s.t.Helper()
	w := &witness{t: s.t, monitors: map[string]*monitor.Monitor{}}
	for _, name := range nodes {
		w.monitors[name] = monitor.Start(s.t, s.nodes[name].Node)
	}
	return w
}

// heard is what has happened to the node's network since it was last asked: to multinic's links, to the node's own, and to rules.
// Pods come and go, which is none of it.
func (w *witness) heard(node string) []string {
	w.t.Helper()
	var heard []string
	for _, event := range w.monitors[node].Mark(w.t) {
		if strings.HasPrefix(event.Link, "multinic") || event.Link == "eth0" || strings.HasPrefix(event.Kind, "rule ") {
			heard = append(heard, event.String())
		}
	}
	return heard
}

// silent fails the test if anything has happened to a node's network.
func (w *witness) silent(when string) {
	w.t.Helper()
	for node := range w.monitors {
		if heard := w.heard(node); len(heard) > 0 {
			w.t.Errorf("%s: on %s this has happened:\n%s", when, node, strings.Join(slices.Compact(heard), "\n"))
		}
	}
}
