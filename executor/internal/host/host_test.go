package host_test

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"multinic.dev/executor/internal/host"
)

func TestAMachineIsNamedByItsFileAndABootByTheKernel(t *testing.T) {
	root := t.TempDir()
	without, err := host.Read(root)
	if err != nil || without.Machine != "" || !regexp.MustCompile(`^[0-9a-f-]{36}$`).MatchString(without.Boot) {
		t.Errorf("without a file: %+v, %v", without, err)
	}
	if err := os.Mkdir(filepath.Join(root, "etc"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "etc/machine-id"), []byte("0123456789abcdef0123456789abcdef\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if with, err := host.Read(root); err != nil || with.Machine != "0123456789abcdef0123456789abcdef" || with.Boot != without.Boot {
		t.Errorf("with a file: %+v, %v", with, err)
	}
}
