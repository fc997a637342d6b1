// Package hostile_test holds both programs to what a fleet promises of rows that nobody in his right mind writes: each is
// refused with its reason or means what it says, and none of them harms a good row, a working NIC, a file or a log.
package hostile_test

import (
	"testing"

	"multinic.dev/lab/program"
	"multinic.dev/testbed/sandbox"
)

// programs are built once for all tests.
var programs program.Programs

func TestMain(m *testing.M) {
	sandbox.Main(m, program.Fixture(&programs))
}
