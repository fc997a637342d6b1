package sandbox

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"go.uber.org/goleak"
)

// leftInProcess names what a suite that has ended still holds in its own process: goroutines, descriptors of network
// namespaces, and file locks.
func leftInProcess() []string {
	var left []string
	if err := goleak.Find(); err != nil {
		left = append(left, err.Error())
	}
	own, _ := os.Readlink("/proc/self/ns/net")
	fds, _ := filepath.Glob("/proc/self/fd/*")
	for _, fd := range fds {
		if target, err := os.Readlink(fd); err == nil && strings.HasPrefix(target, "net:[") {
			left = append(left, fmt.Sprintf("descriptor %s of network namespace %s (its own is %s)", filepath.Base(fd), target, own))
		}
	}
	locks, err := os.ReadFile("/proc/locks")
	if err != nil {
		return append(left, err.Error())
	}
	for line := range strings.Lines(string(locks)) {
		// 1: FLOCK  ADVISORY  WRITE 1234 fe:00:5678 0 EOF
		if fields := strings.Fields(line); len(fields) > 5 && fields[4] == strconv.Itoa(os.Getpid()) {
			left = append(left, "file lock "+strings.TrimSpace(line))
		}
	}
	return left
}
