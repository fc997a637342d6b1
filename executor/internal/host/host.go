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

// bootID is where the kernel says which boot this is, below a root.
const bootID = "proc/sys/kernel/random/boot_id"

// Read reads the identity; root is the host's root directory.
func Read(root string) (Identity, error) {
	machine, err := os.ReadFile(filepath.Join(root, "etc/machine-id"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return Identity{}, fmt.Errorf("read the machine's id: %w", err)
	}
	// The kernel's, and so the host's, in every container; where the host itself is one, its own.
	boot, err := os.ReadFile(filepath.Join(root, bootID))
	if errors.Is(err, fs.ErrNotExist) {
		boot, err = os.ReadFile("/" + bootID)
	}
	if err != nil {
		return Identity{}, fmt.Errorf("read the boot's id: %w", err)
	}
	return Identity{Machine: strings.TrimSpace(string(machine)), Boot: strings.TrimSpace(string(boot))}, nil
}
