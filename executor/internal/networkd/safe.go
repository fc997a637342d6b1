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
	"syscall"
	"time"

	"multinic.dev/executor/internal/netplan/render"
)

// The versions of systemd from which on networkd can be told to read its files, and has nexthops of its own.
const (
	firstToReload = 244
	firstNextHops = 256
)

// folders are where networkd looks for files, the one that counts first; see systemd.network(5).
func folders() []string {
	return []string{"etc/systemd/", "run/systemd/", "usr/local/lib/systemd/", "usr/lib/systemd/", "lib/systemd/"}
}

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
	settings, err := m.settings(s.started)
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
	return errors.Join(m.unchanged(s.started), m.there(s.files))
}

// there is an error if a file is gone from which networkd has set something up.
func (m *Manager) there(files []string) error {
	for _, path := range files {
		if _, err := os.Lstat(m.at(path)); err != nil && !render.IsOurs(filepath.Base(path)) {
			return fmt.Errorf("%s is gone, from which it has set a link up: %w", path, err)
		}
	}
	return nil
}

// settings are those of networkd.conf(5) in [Network]. A file that is newer than networkd is an error.
func (m *Manager) settings(started time.Time) (map[string]string, error) {
	var files []string
	for _, dir := range folders() {
		if path := dir + "networkd.conf"; m.exists(path) {
			files = append(files, path)
			break
		}
	}
	more := map[string]string{} // by name; the first folder counts
	for _, dir := range folders() {
		entries, err := os.ReadDir(m.at(dir + "networkd.conf.d"))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("read how it is set up: %w", err)
		}
		for _, entry := range entries {
			if _, known := more[entry.Name()]; !known && filepath.Ext(entry.Name()) == ".conf" {
				more[entry.Name()] = dir + "networkd.conf.d/" + entry.Name()
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(more)) {
		files = append(files, more[name])
	}
	settings := map[string]string{}
	for _, path := range files {
		if err := m.older(path, started); err != nil {
			return nil, err
		}
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

// older is an error if a file, or what it is a link to, was written or put in its place after a time.
func (m *Manager) older(path string, than time.Time) error {
	for _, look := range []func(string) (os.FileInfo, error){os.Lstat, os.Stat} {
		info, err := look(m.at(path))
		if errors.Is(err, fs.ErrNotExist) {
			return nil // A link that leads nowhere, or for another root than this process's: its own times were looked at.
		}
		if err != nil {
			return fmt.Errorf("find out whether it has read what there is: %w", err)
		}
		status, _ := info.Sys().(*syscall.Stat_t)
		if status == nil || !time.Unix(status.Ctim.Unix()).Before(than) {
			return fmt.Errorf("/%s was written after it was started, and it might set up what that is for", path)
		}
	}
	return nil
}

// unchanged is an error if any file that networkd reads, but for multinic's, may be another than when it was started.
func (m *Manager) unchanged(started time.Time) error {
	for _, dir := range folders() {
		dir += "network"
		err := filepath.WalkDir(m.at(dir), func(path string, entry fs.DirEntry, err error) error {
			name, _ := filepath.Rel(m.at(dir), path)
			switch {
			case errors.Is(err, fs.ErrNotExist):
				return nil
			case err != nil:
				return fmt.Errorf("find out whether it has read what there is: %w", err)
			case render.IsOurs(name):
				if entry.IsDir() {
					return fs.SkipDir
				}
				return nil
			case name == ".":
				return nil // It is newer whenever a file of multinic's is.
			}
			return m.older(filepath.Join(dir, name), started)
		})
		if err != nil {
			return err //nolint:wrapcheck // of the function above
		}
	}
	return nil
}
