// Package networkd has a host's systemd-networkd set up multinic's interfaces, where it can be told of them without any chance that it
// touches others.
package networkd

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"multinic.dev/executor/internal/durable"
	"multinic.dev/executor/internal/hostroot"
	"multinic.dev/executor/internal/netplan/render"
	"multinic.dev/executor/internal/plan"
)

// volatile is where the files are that networkd is told of, below the host's root. They are gone after a boot.
const volatile = "run/systemd/network"

// ErrUntold says that networkd was not told, and what could have happened. Nothing was changed but files that it has not read.
var ErrUntold = errors.New("networkd cannot be told")

// Manager is a host's networkd. Not safe for concurrent use: it belongs to the one goroutine that configures the node.
type Manager struct {
	// root is the host's root directory.
	root string
	// silent is when the host's system bus last did not answer.
	silent time.Time
}

// Open returns the networkd of a host, which need not run; root is the host's root directory.
func Open(root string) *Manager { return &Manager{root: root} }

// Tell has networkd set up NICs as configurations say, and let go of those that are forgotten. It returns as soon as networkd knows; what
// it does then takes some more milliseconds, and only the kernel shows whether it succeeds. Errors: ErrUntold, with the reason.
func (m *Manager) Tell(ctx context.Context, configs []plan.Config, forget []string) error {
	err := m.reloadable(ctx)
	if err != nil {
		// What it was told of these before is true no longer: if it starts anew, it should find what netplan has generated.
		for _, config := range configs {
			forget = append(forget, config.NIC)
		}
		configs, err = nil, fmt.Errorf("%w: %w", ErrUntold, err)
	}
	for _, nic := range forget {
		err = errors.Join(err, m.remove(nic, nil))
	}
	for _, config := range configs {
		err = errors.Join(err, m.write(config))
	}
	if err != nil {
		return err
	}
	return m.reload(ctx)
}

// Ready says why networkd could not be told now; nil: it could. Errors: ErrUntold.
func (m *Manager) Ready(ctx context.Context) error {
	if err := m.reloadable(ctx); err != nil {
		return fmt.Errorf("%w: %w", ErrUntold, err)
	}
	return nil
}

// Observe notes what networkd has read, as far as that can be known, before multinic's files are changed: afterwards it is harder to tell.
func (m *Manager) Observe(ctx context.Context) {
	if s, err := m.service(ctx); err == nil {
		_ = m.unchanged(s) // Tell says it, when it matters.
	}
}

// Knows says whether networkd was told of a NIC since the last boot, and not to forget it.
func (m *Manager) Knows(nic string) bool {
	_, err := os.Lstat(m.at(filepath.Join(volatile, render.VolatilePrefix+nic+".network")))
	return err == nil
}

// IsTold says whether networkd was told of a NIC just what a configuration says.
func (m *Manager) IsTold(config plan.Config) bool {
	files := render.Volatile(config)
	for name, text := range files {
		if is, err := os.ReadFile(m.at(filepath.Join(volatile, name))); err != nil || string(is) != text {
			return false
		}
	}
	return true
}

// write has the files of a NIC be what a configuration says.
func (m *Manager) write(config plan.Config) error {
	if err := os.MkdirAll(m.at(volatile), 0o755); err != nil { //nolint:gosec // as netplan makes it
		return fmt.Errorf("write for networkd: %w", err)
	}
	files := render.Volatile(config)
	if err := m.remove(config.NIC, files); err != nil {
		return err
	}
	for name, text := range files {
		path := m.at(filepath.Join(volatile, name))
		if is, err := os.ReadFile(path); err == nil && string(is) == text {
			continue
		}
		if err := durable.WriteShared(path, []byte(text)); err != nil {
			return fmt.Errorf("write for networkd: %w", err)
		}
	}
	return nil
}

// remove takes away the files of a NIC, but for some.
func (m *Manager) remove(nic string, but map[string]string) error {
	entries, err := os.ReadDir(m.at(volatile))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove what networkd was told: %w", err)
	}
	for _, entry := range entries {
		of, isOurs := strings.CutPrefix(entry.Name(), render.VolatilePrefix+nic)
		_, kept := but[entry.Name()]
		if !isOurs || !strings.HasPrefix(of, ".") || kept {
			continue
		}
		if err := os.Remove(m.at(filepath.Join(volatile, entry.Name()))); err != nil {
			return fmt.Errorf("remove what networkd was told: %w", err)
		}
	}
	return nil
}

// at is a path of the host's as this process sees it.
func (m *Manager) at(path string) string { return hostroot.Path(m.root, path) }
