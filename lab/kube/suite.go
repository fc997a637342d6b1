package kube

import (
	"os"
	"testing"

	"multinic.dev/lab/kube/built"
	"multinic.dev/lab/kube/group"
	"multinic.dev/lab/kube/machine"
	"multinic.dev/testbed/sandbox"
)

// Main is sandbox.Main for a suite that starts clusters; call it from TestMain and nothing else. Kubernetes' programs are
// built before, where the machine's network is. A suite that is held against a cluster that is there (Given) runs outside,
// without fixtures.
func Main(m *testing.M, fixtures ...sandbox.Fixture) { MainWith(m, nil, fixtures...) }

// MainWith is Main for a suite that needs more of what is outside of the sandbox, such as the machine's network (sandbox.MainWith).
func MainWith(m *testing.M, outside []sandbox.Fixture, fixtures ...sandbox.Fixture) {
	machine.Keeper()
	group.Caretaker()
	if Given() {
		os.Exit(m.Run())
	}
	sandbox.MainWith(m, append([]sandbox.Fixture{built.Programs, group.Suite}, outside...), append([]sandbox.Fixture{pauseImage}, fixtures...)...)
}
