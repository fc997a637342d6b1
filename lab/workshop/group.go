package workshop

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// makeGroup makes a control group for a suite in the unified hierarchy, below the suite's own. It returns where that hierarchy is mounted,
// and the group's path in it.
func makeGroup() (unified, group string, err error) {
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return "", "", fmt.Errorf("find where control groups are mounted: %w", err)
	}
	for line := range strings.Lines(string(mounts)) {
		// 30 24 0:26 / /sys/fs/cgroup/unified rw,relatime - cgroup2 none rw
		mount, kind, _ := strings.Cut(line, " - ")
		if fields := strings.Fields(mount); unified == "" && len(fields) > 4 && strings.HasPrefix(kind, "cgroup2 ") {
			unified = fields[4]
		}
	}
	own, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return "", "", fmt.Errorf("find the own control group: %w", err)
	}
	_, path, found := strings.Cut("\n"+string(own), "\n0::")
	if !found || unified == "" {
		return "", "", errors.New("docker needs control groups of version 2, and this machine has none: see cgroups(7)")
	}
	path, _, _ = strings.Cut(path, "\n")
	folder, err := os.MkdirTemp(filepath.Join(unified, path), "multinic-images-")
	if err != nil {
		return "", "", fmt.Errorf("make a control group for docker: %w", err)
	}

	return unified, strings.TrimPrefix(folder, unified), nil
}

// removeGroup removes a control group and those below it, in which nothing runs any more.
func removeGroup(folder string) error {
	var folders []string
	err := filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.IsDir() {
			folders = append(folders, path)
		}

		return err
	})
	if err != nil {
		return fmt.Errorf("list docker's control groups: %w", err)
	}
	for _, each := range slices.Backward(folders) {
		if err := os.Remove(each); err != nil {
			return fmt.Errorf("remove docker's control group: %w", err)
		}
	}

	return nil
}
