// Package group gives a suite control groups for its nodes, in each hierarchy of the machine, and takes them away after it.
//
// No namespace takes a control group away. So a caretaker does, a process of its own outside of the sandbox, which outlives
// the suite for that long, also when the suite is killed.
package group

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// pathEnv tells the suite in the sandbox the path of its group, which is the same in each hierarchy.
const pathEnv = "MULTINIC_KUBE_GROUP"

// prefix begins the name of a suite's group, by which it is known if it is left behind.
const prefix = "/multinic-kube-"

const (
	// removeTimeout is how long a group may take to be empty once the suite has ended. It takes milliseconds.
	removeTimeout = 20 * time.Second
	// removeInterval is how often it is looked whether it is: nothing tells when a group can be removed.
	removeInterval = 20 * time.Millisecond
)

// For is the path of a node's group, which is made in each hierarchy. Whoever runs in it makes its own below.
func For(node string) (string, error) {
	suite, ok := os.LookupEnv(pathEnv)
	if !ok {
		return "", errors.New("the suite has no control group: its TestMain must call kube.Main")
	}
	path := filepath.Join(suite, node)
	return path, makeIn(path)
}

func makeIn(path string) error {
	hierarchies, err := hierarchies()
	if err != nil {
		return err
	}
	for _, hierarchy := range hierarchies {
		if err := os.MkdirAll(filepath.Join(hierarchy, path), 0o755); err != nil {
			return fmt.Errorf("make a control group: %w", err)
		}
	}
	return nil
}

// hierarchies are the folders at which control groups of either version are mounted below /sys/fs/cgroup.
func hierarchies() ([]string, error) {
	text, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, fmt.Errorf("find where control groups are mounted: %w", err)
	}
	found := parseHierarchies(string(text))
	if len(found) == 0 {
		return nil, errors.New("nodes need control groups, and none are mounted below /sys/fs/cgroup: see cgroups(7)")
	}
	return found, nil
}

// parseHierarchies finds control groups in the text of mountinfo, as proc_pid_mountinfo(5) has it.
func parseHierarchies(mounts string) []string {
	var found []string
	for line := range strings.Lines(mounts) {
		// 30 24 0:26 / /sys/fs/cgroup/unified rw,relatime - cgroup2 none rw
		mount, source, _ := strings.Cut(line, " - ")
		fields := strings.Fields(mount)
		if len(fields) > 4 && strings.HasPrefix(fields[4], "/sys/fs/cgroup") && strings.HasPrefix(source, "cgroup") {
			found = append(found, fields[4])
		}
	}
	return found
}

// remove removes a group with all that are below it from each hierarchy, once nothing is in them any more.
func remove(path string) error {
	hierarchies, err := hierarchies()
	if err != nil {
		return err
	}
	for _, hierarchy := range hierarchies {
		for deadline := time.Now().Add(removeTimeout); ; time.Sleep(removeInterval) {
			if err = removeEmpty(filepath.Join(hierarchy, path)); !errors.Is(err, syscall.EBUSY) || time.Now().After(deadline) {
				break
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func removeEmpty(folder string) error {
	// A group's files are the kernel's, and go with it. One that is not there any more has nothing below.
	below, err := filepath.Glob(filepath.Join(folder, "*", "cgroup.procs"))
	if err != nil {
		return fmt.Errorf("look what is below the control group %s: %w", folder, err)
	}
	for _, file := range below {
		if err := removeEmpty(filepath.Dir(file)); err != nil {
			return err
		}
	}
	if err := syscall.Rmdir(folder); err != nil && !errors.Is(err, syscall.ENOENT) {
		return fmt.Errorf("remove the control group %s: %w", folder, err)
	}
	return nil
}
