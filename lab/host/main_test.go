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

func TestMain(m *testing.M) { container.Main(m, program.Fixture(&programs)) }
