package install_test

import "time"

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
