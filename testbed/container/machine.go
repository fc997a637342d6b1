package container

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"

	"multinic.dev/testbed/node"
	"multinic.dev/testbed/said"
)

const (
	// program and its package are what the machine must have.
	program      = "systemd-nspawn"
	programOwner = "systemd-container"

	// noticeSize is more than any notice that sd_notify(3) knows of is long.
	noticeSize = 8192
)

// machine is a container that runs.
type machine struct {
	cmd    *exec.Cmd
	output said.Output // nspawn's; its systemd writes to its own journal
	// leader is the container's first process, as this process sees it; 0 before there is one.
	leader atomic.Int64
	// ready is closed when the container's systemd has said that it has started all that it starts.
	ready chan struct{}
	// ended is closed when nspawn has ended, which waits for the container's last process.
	ended chan struct{}
}

// start boots a tree as a node.
func start(n *node.Node, root string) (_ *machine, err error) {
	group, err := openGroup(n.Name())
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, group.Close()) }()
	sealed, err := sealedSettings()
	if err != nil {
		return nil, err
	}
	// In /run, which is the sandbox's own, since a path in a temporary folder may be too long for a socket.
	notices := "/run/multinic-" + n.Name() + ".notices"
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: notices, Net: "unixgram"})
	if err != nil {
		return nil, fmt.Errorf("listen for what the container says of itself: %w", err)
	}
	// nspawn itself is in the node's network namespace, and not only what it starts: it is there that it mounts /sys, and
	// a /sys of another namespace has none of the node's links, which udev then never hears of again.
	cmd := n.Command(context.Background(), program, append(sealed,
		"--directory="+root, "--machine="+n.Name(), "--boot", "--notify-ready=yes", "--console=pipe",
		// Nobody is asked to keep account of it: there may be no systemd on the machine.
		"--register=no", "--keep-unit", "--link-journal=no", "--resolv-conf=off", "--timezone=off",
		"--network-namespace-path="+n.Path(), "--capability=CAP_NET_ADMIN")...)
	// /sys and /proc/sys/net can be written to, as on a real machine: udev does nothing otherwise. And it has the only
	// hierarchy of control groups that newer releases take, whatever the machine has.
	cmd.Env = append(os.Environ(), "NOTIFY_SOCKET="+notices, "SYSTEMD_NSPAWN_API_VFS_WRITABLE=yes", "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, UseCgroupFD: true, CgroupFD: int(group.Fd())}
	cmd.WaitDelay = letGo
	m := &machine{cmd: cmd, ready: make(chan struct{}), ended: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = &m.output, &m.output
	if err := cmd.Start(); err != nil {
		return nil, errors.Join(fmt.Errorf("start %s: %w", program, err), socket.Close(), os.Remove(notices))
	}
	go func() {
		defer close(m.ended)
		var listening sync.WaitGroup
		listening.Go(func() { m.listen(socket) })
		_ = cmd.Wait() // Its code is that of the container's own end, which is nobody's concern here.
		_ = socket.Close()
		listening.Wait()
		_ = os.Remove(notices)
	}()
	return m, nil
}

// sealedSettings are nspawn's arguments that let the container write to no setting of the kernel's but those of its network.
func sealedSettings() ([]string, error) {
	settings, err := os.ReadDir("/proc/sys")
	if err != nil {
		return nil, fmt.Errorf("list the kernel's settings: %w", err)
	}
	var args []string
	for _, entry := range settings {
		if entry.Name() != "net" {
			args = append(args, "--bind-ro=/proc/sys/"+entry.Name())
		}
	}
	return args, nil
}

// listen takes what nspawn says of the container, as sd_notify(3) has it, until the socket is closed.
func (m *machine) listen(socket *net.UnixConn) {
	notice, ready := make([]byte, noticeSize), false
	for {
		n, err := socket.Read(notice)
		if err != nil {
			return
		}
		for line := range strings.Lines(string(notice[:n])) {
			name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
			switch {
			case name == "X_NSPAWN_LEADER_PID":
				leader, _ := strconv.ParseInt(value, 10, 64)
				m.leader.Store(leader)
			case name == "READY" && !ready:
				ready = true
				close(m.ready)
			}
		}
	}
}

// started waits until the container's systemd has started all that it starts, and says how it is: "running", or
// "degraded", if a unit failed.
func (m *machine) started(ctx context.Context) (string, error) {
	select {
	case <-m.ready:
	case <-m.ended:
		return "", errors.New("it has ended by itself")
	case <-ctx.Done():
		return "", errors.New("it has not said in time that it has started everything")
	}
	// What is said then is that the default target is reached; jobs that nobody waits for may still run.
	cmd := m.inside(ctx, "systemctl", "is-system-running", "--wait")
	out, err := cmd.CombinedOutput()
	if state := strings.TrimSpace(string(out)); state == "running" || state == "degraded" {
		return state, nil // It exits with 1 if it is degraded.
	}
	if ctx.Err() != nil {
		return "", errors.New("not all that it started has come to an end in time")
	}
	return "", fmt.Errorf("ask its systemd how it is: %w: %s", err, out)
}

// inside is a program that will run in the container.
func (m *machine) inside(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "nsenter", append([]string{
		"--target=" + strconv.FormatInt(m.leader.Load(), 10),
		"--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup", "--root", "--wd", "--", name,
	}, args...)...)
	cmd.Env = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LANG=C.UTF-8", "container=systemd-nspawn"}
	// nsenter starts the program as a child, since a process cannot change its own process namespace, and must not be
	// killed without it: whoever reads the program's output would wait for a process that nobody knows any more.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = letGo
	return cmd
}

// end sends a signal, if it is one, to the container's first process, and waits until nspawn has ended, as it does when
// that has.
func (m *machine) end(ctx context.Context, with syscall.Signal) error {
	target := int(m.leader.Load())
	if target == 0 {
		target = m.cmd.Process.Pid // It never came so far; what nspawn has started by then dies with it.
	}
	select {
	case <-m.ended:
		return nil
	default:
	}
	if with != 0 {
		if err := syscall.Kill(target, with); err != nil && !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("send it signal %d: %w", int(with), err)
		}
	}
	select {
	case <-m.ended:
		return nil
	case <-ctx.Done():
		return errors.New("it has not ended in time")
	}
}

// processes lists what runs in the container, a line each.
func (m *machine) processes() string {
	own, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/pid", m.leader.Load()))
	if err != nil {
		return "" // Nothing.
	}
	var list strings.Builder
	spaces, _ := filepath.Glob("/proc/[0-9]*/ns/pid")
	for _, space := range spaces {
		if of, err := os.Readlink(space); err != nil || of != own {
			continue // It runs elsewhere, or has ended.
		}
		process := filepath.Dir(filepath.Dir(space))
		command, _ := os.ReadFile(filepath.Join(process, "cmdline"))
		fmt.Fprintf(&list, "%s: %s\n", filepath.Base(process), strings.TrimSpace(strings.ReplaceAll(string(command), "\x00", " ")))
	}
	return list.String()
}
