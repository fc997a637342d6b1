package networkd

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"multinic.dev/executor/internal/hostroot"
	"multinic.dev/executor/internal/netplan/render"
)

// The versions of systemd from which on networkd can be told to read its files, and has nexthops of its own.
const (
	firstToReload = 244
	firstNextHops = 256
)

// reloadable says why networkd cannot read its files without any chance that it touches what is foreign; nil: it can.
//
// A reload sets up anew each link of which a file is another than the one that networkd has read, by its inode and times, whatever is in
// it; and it takes away all routes and rules that it does not know, on every link, unless it is told not to.
func (m *Manager) reloadable(ctx context.Context) error {
	s, err := m.service(ctx)
	if err != nil {
		return err
	}
	if s.version < firstToReload {
		return fmt.Errorf("systemd %d cannot have it read its files without starting it anew", s.version)
	}
	changed := m.unchanged(s)
	settings, err := m.settings()
	if err != nil {
		return err
	}
	keys := []string{"ManageForeignRoutes", "ManageForeignRoutingPolicyRules"}
	if s.version >= firstNextHops {
		keys = append(keys, "ManageForeignNextHops")
	}
	for _, key := range keys {
		if !slices.Contains([]string{"no", "false", "off", "0", "n", "f"}, strings.ToLower(settings[key])) {
			return fmt.Errorf("it would take others' routes and rules away: set %s=no in /etc/systemd/networkd.conf, and start it anew", key)
		}
	}
	return changed
}

// settings are those of networkd.conf(5) in [Network].
func (m *Manager) settings() (map[string]string, error) {
	var files []string
	for _, dir := range hostroot.SystemdFolders() {
		if path := filepath.Join(dir, "networkd.conf"); m.exists(path) {
			files = append(files, path)
			break
		}
	}
	more := map[string]string{} // by name; the first folder counts
	for _, dir := range hostroot.SystemdFolders() {
		entries, err := os.ReadDir(m.at(filepath.Join(dir, "networkd.conf.d")))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("read how it is set up: %w", err)
		}
		for _, entry := range entries {
			if _, known := more[entry.Name()]; !known && filepath.Ext(entry.Name()) == ".conf" {
				more[entry.Name()] = filepath.Join(dir, "networkd.conf.d", entry.Name())
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(more)) {
		files = append(files, more[name])
	}
	settings := map[string]string{}
	for _, path := range files {
		data, err := os.ReadFile(m.at(path))
		if err != nil {
			return nil, fmt.Errorf("read how it is set up: %w", err)
		}
		maps.Copy(settings, render.Settings(string(data), "Network"))
	}
	return settings, nil
}

func (m *Manager) exists(path string) bool {
	_, err := os.Stat(m.at(path))
	return err == nil
}
