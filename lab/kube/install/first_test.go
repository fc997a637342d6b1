package install_test

import (
	"slices"
	"strings"
	"time"
)

const (
	// viewer is the service account of an operator who may look.
	viewer = "alice"
	// soon is how long it may take from the installation to the last row that is true, once nodes have the images.
	soon = time.Minute
)

// servesEveryNode is the way of docs/install.md, from nothing to rows that are true.
func (s *site) servesEveryNode() {
	began := time.Now()
	s.helm(append([]string{"install", release, chart, "--wait", "--timeout=2m"}, s.values()...)...)
	s.t.Logf("installed after %v", time.Since(began).Round(time.Millisecond))
	s.insert(append(s.rows(workerA), s.rows(workerB)...)...)
	s.awaitAll()
	took := time.Since(began)
	s.t.Logf("all rows are true %v after the installation began", took.Round(time.Millisecond))
	if took > soon {
		s.t.Errorf("from the installation to the last row it took %v, and not %v", took, soon)
	}
	for _, node := range []string{workerA, workerB} {
		s.judge(node, s.rows(node)...)
	}
	s.helm("test", release)
	// The control: what no row asks for is not there.
	s.judge(keeper)
}

// refusesASecondOne that would have executors on the same nodes: what the first one's executor answers would be taken for the second one's.
func (s *site) refusesASecondOne() {
	try := func(what string, more ...string) (string, error) {
		return s.tryHelm(slices.Concat(strings.Fields(what), []string{chart, "--dry-run=server"}, s.values(more...))...)
	}
	for _, more := range [][]string{nil, {"executor.nodeSelector.pool=second"}} { // The first one is on all nodes.
		said, err := try("install second", more...)
		if err == nil || !strings.Contains(said, "another installation has executors in this cluster (the DaemonSet "+release+"-executor in "+namespace+")") {
			s.t.Errorf("with %q a second installation is not refused: %s", more, said)
		}
	}
	// The control: the first one's own executors are no others.
	for _, more := range [][]string{nil, {"fullnameOverride=other"}} {
		if said, err := try("upgrade "+release, more...); err != nil {
			s.t.Errorf("with %q the first one cannot be upgraded: %v: %s", more, err, said)
		}
	}
}
