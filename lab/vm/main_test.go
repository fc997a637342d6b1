// Package vm_test holds both programs together to what they promise of real machines, which are virtual ones: what needs VLANs, the
// permanent addresses of cards, and a boot from a disk that was cut off.
package vm_test

import (
	"testing"

	"multinic.dev/lab/program"
	"multinic.dev/testbed/monitor"
	"multinic.dev/testbed/vm"
)

var (
	// programs are built once for all tests, and executor is the one that runs in guests.
	programs program.Programs
	executor string
	// listener is what listens to the kernels of guests.
	listener string
)

func TestMain(m *testing.M) {
	vm.Main(m, program.Fixture(&programs), program.StaticFixture(&executor), monitor.Fixture(&listener))
}
