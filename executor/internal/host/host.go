// Package host says which machine an executor runs on, and in which boot of it.
package host

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Identity names a machine and its boot.
type Identity struct {
	// Machine is machine-id(5): it differs between a machine and a clone of it that was set up properly. Empty: the machine has
	// none.
	Machine string
	// Boot differs from boot to boot (see random(4), boot_id).
	Boot string
}

// Read reads the identity; root is the host's root directory.
func Read(root string) (Identity, error) {
	machine, err := os.ReadFile(filepath.Join(root, "etc/machine-id"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return Identity{}, fmt.Errorf("read the machine's id: %w", err)
	}
	// The kernel's, and so the host's, in every container.
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return Identity{}, fmt.Errorf("read the boot's id: %w", err)
	}
	return Identity{Machine: strings.TrimSpace(string(machine)), Boot: strings.TrimSpace(string(boot))}, nil
}
