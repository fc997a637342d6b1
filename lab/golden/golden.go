// Package golden compares what tests get with what is written down of it.
package golden

import (
	"os"
	"path/filepath"
	"testing"
)

// renew is the variable with which what a test gets is written down instead.
const renew = "MULTINIC_RENEW"

// Want compares a text with a file of the test's folder testdata. With MULTINIC_RENEW set it writes the file.
func Want(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if os.Getenv(renew) != "" {
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("it is not as in %s; if it should be so, run this test with %s=1. It is\n%s", path, renew, got)
	}
}
