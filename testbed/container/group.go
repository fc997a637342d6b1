package container

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"multinic.dev/testbed/debian"
	"multinic.dev/testbed/sandbox"
)

// groupEnv tells a suite the path of its control group in the unified hierarchy, below which containers have theirs.
const groupEnv = "MULTINIC_CONTAINER_GROUP"

// groupPrefix begins the name of a suite's control group, by which it is known if it is left behind.
const groupPrefix = "multinic-"

// Main is sandbox.Main for a suite that boots containers; call it from TestMain and nothing else. The trees of both
// releases are built before, where the machine's network is, and the control groups that containers leave are removed
// after, however the suite ended.
func Main(m *testing.M, fixtures ...sandbox.Fixture) {
	if path, ok := os.LookupEnv(caretakerEnv); ok {
		os.Exit(beCaretaker(path))
	}
	sandbox.MainWith(m, []sandbox.Fixture{debian.Built([]debian.Release{debian.Bookworm, debian.Trixie}), group}, fixtures...)
}

// group is the fixture that makes the suite's control group. systemd, inside, makes groups of its own below, and no
// namespace takes any of them away.
func group() (end func() error, err error) {
	if !sandbox.RealRoot() {
		return func() error { return nil }, nil
	}
	parent, err := ownGroup()
	if err != nil {
		return nil, err
	}
	hierarchies, err := hierarchies()
	if err != nil {
		return nil, err
	}
	folder, err := os.MkdirTemp(filepath.Join(hierarchies[0], parent), groupPrefix)
	if err != nil {
		return nil, fmt.Errorf("make a control group for containers: %w", err)
	}
	path := filepath.Join(parent, filepath.Base(folder))
	end, err = startCaretaker(path)
	if err != nil {
		return nil, errors.Join(err, removeGroup(folder))
	}
	if err := os.Setenv(groupEnv, path); err != nil {
		return nil, errors.Join(err, end())
	}
	return end, nil
}

// ownGroup is the path of this process's control group in the unified hierarchy.
func ownGroup() (string, error) {
	text, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return "", fmt.Errorf("find the own control group: %w", err)
	}
	for line := range strings.Lines(string(text)) {
		if path, ok := strings.CutPrefix(strings.TrimSpace(line), "0::"); ok {
			return path, nil
		}
	}
	return "", errors.New("containers need control groups of version 2, and this machine has none: see cgroups(7)")
}

// hierarchies are the folders of the hierarchies in which containers have groups: first the unified one, then systemd's
// own of version 1, if the machine has that as well.
func hierarchies() ([]string, error) {
	text, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, fmt.Errorf("find where control groups are mounted: %w", err)
	}
	var unified, named []string
	for line := range strings.Lines(string(text)) {
		// 30 24 0:26 / /sys/fs/cgroup/unified rw,relatime - cgroup2 none rw
		mount, source, _ := strings.Cut(line, " - ")
		fields := strings.Fields(mount)
		if len(fields) < 5 || !strings.HasPrefix(fields[4], "/sys/fs/cgroup") {
			continue
		}
		switch {
		case strings.HasPrefix(source, "cgroup2 "):
			unified = append(unified, fields[4])
		case strings.HasPrefix(source, "cgroup ") && strings.Contains(source, "name=systemd"):
			named = append(named, fields[4])
		}
	}
	if len(unified) == 0 {
		return nil, errors.New("containers need control groups of version 2, which are not mounted below /sys/fs/cgroup: see cgroups(7)")
	}
	return append(unified[:1], named...), nil
}

// openGroup opens the control group of a container, which is made if it is not there.
func openGroup(name string) (*os.File, error) {
	path, ok := os.LookupEnv(groupEnv)
	if !ok {
		return nil, errors.New("the suite has no control group: its TestMain must call container.Main")
	}
	hierarchies, err := hierarchies()
	if err != nil {
		return nil, err
	}
	folder := filepath.Join(hierarchies[0], path, name)
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return nil, fmt.Errorf("make a control group for the container: %w", err)
	}
	return os.Open(folder)
}
