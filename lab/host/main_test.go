// Package host_test holds both programs together to what they promise of real hosts: Debian's own systemd, networkd and Netplan, in
// containers.
package host_test

import (
	"testing"

	"multinic.dev/lab/program"
	"multinic.dev/testbed/container"
)

// programs are built once for all tests.
var programs program.Programs

// static is the executor as its image has it: without a library, and so without the race detector.
var static string

func TestMain(m *testing.M) {
	container.Main(m, program.Fixture(&programs), program.StaticFixture(&static))
}
