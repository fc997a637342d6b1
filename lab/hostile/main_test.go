// Package hostile_test holds both programs to what a fleet promises of rows that nobody in his right mind writes: each is
// refused with its reason or means what it says, and none of them harms a good row, a working NIC, a file or a log.
package hostile_test

import (
	"context"
	"errors"
	"os"
	"testing"

	"multinic.dev/lab/program"
	"multinic.dev/testbed/sandbox"
)

// programs are built once for all tests.
var programs program.Programs

func TestMain(m *testing.M) {
	sandbox.Main(m, func() (func() error, error) {
		dir, err := os.MkdirTemp("", "programs-")
		if err != nil {
			return nil, err
		}
		if programs, err = program.Build(context.Background(), dir); err != nil {
			return nil, errors.Join(err, os.RemoveAll(dir))
		}
		return func() error { return os.RemoveAll(dir) }, nil
	})
}
