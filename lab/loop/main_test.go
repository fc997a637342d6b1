// Package loop_test holds both programs together to what a fleet promises, against a real database and real kernels.
package loop_test

import (
	"testing"

	"multinic.dev/lab/fleet"
	"multinic.dev/lab/program"
	"multinic.dev/testbed/sandbox"
)

// programs are built once for all tests.
var programs program.Programs

func TestMain(m *testing.M) {
	sandbox.Main(m, program.Fixture(&programs))
}

// newFleet makes a fleet with a database and nothing else yet.
func newFleet(t *testing.T) *fleet.Fleet {
	t.Helper()
	return fleet.New(t, fleet.Settings{Programs: programs})
}
