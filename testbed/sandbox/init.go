package sandbox

import (
	"bytes"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// beInit is the first process of the sandbox: it prepares the namespaces, starts the program inside, reaps orphans,
// and looks at what is left when the program has ended.
func beInit() int {
	if err := prepare(); err != nil {
		return complain("prepare the namespaces: %v\n%s", err, remedy())
	}
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGHUP, syscall.SIGINT, syscall.SIGTERM, syscall.SIGQUIT)
	cmd := again(stageInside)
	if err := cmd.Start(); err != nil {
		return complain("start the program inside: %v", err)
	}
	inside := cmd.Process.Pid
	go func() {
		for s := range signals {
			_ = cmd.Process.Signal(s) // It may have ended by now.
		}
	}()
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, 0, nil)
		switch {
		case err == syscall.EINTR:
		case err != nil:
			return complain("wait for the program inside: %v", err)
		case pid == inside:
			code := status.ExitStatus()
			if status.Signaled() {
				code = 128 + int(status.Signal())
			}
			return worse(code, leftInNamespaces())
		}
	}
}

// prepare makes the mounts private, shows the namespace's own processes in /proc, gives it a /run of its own, and
// brings its loopback up.
func prepare() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make the mounts private: %w", err)
	}
	if err := unix.Mount("proc", "/proc", "proc", 0, ""); err != nil {
		return fmt.Errorf("mount /proc: %w", err)
	}
	if err := unix.Mount("run", "/run", "tmpfs", 0, "mode=0755"); err != nil {
		return fmt.Errorf("mount /run: %w", err)
	}
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return fmt.Errorf("find the loopback link: %w", err)
	}
	if err := netlink.LinkSetUp(lo); err != nil {
		return fmt.Errorf("bring the loopback link up: %w", err)
	}
	return nil
}

// leftInNamespaces names the processes that still run and the network namespaces that are still mounted.
func leftInNamespaces() []string {
	var left []string
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, file := range stats {
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		if err != nil || pid == os.Getpid() {
			continue
		}
		stat, err := os.ReadFile(file)
		if err != nil {
			continue // It has ended.
		}
		// The state follows the name, which is in parentheses and may contain some.
		if end := bytes.LastIndexByte(stat, ')'); bytes.HasPrefix(stat[end+1:], []byte(" Z")) {
			continue
		}
		command, _ := os.ReadFile(filepath.Join(filepath.Dir(file), "cmdline"))
		left = append(left, fmt.Sprintf("process %d: %s", pid, strings.TrimSpace(strings.ReplaceAll(string(command), "\x00", " "))))
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return append(left, err.Error())
	}
	for line := range strings.Lines(string(mounts)) {
		if fields := strings.Fields(line); strings.Contains(line, " - nsfs ") && len(fields) > 4 {
			left = append(left, "network namespace "+fields[4])
		}
	}
	return left
}
