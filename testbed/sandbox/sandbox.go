// Package sandbox runs a test suite or a program in namespaces of its own, so that whatever it starts ends with it.
//
// A suite in the sandbox is root over fresh network, mount and process namespaces, also when an ordinary user started
// it (then inside a user namespace as well). Nothing that it does to links, routes, rules or mounts is seen outside,
// and when it ends, however it ends, the kernel ends its processes and takes its namespaces away.
package sandbox

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// StageEnv is the variable that tells a process which of the three stages it is: unset is outside, then stageInit, then stageInside.
const StageEnv = "MULTINIC_SANDBOX_STAGE"

const (
	stageInit   = "init"
	stageInside = "inside"
)

// Fixture is what all tests of a suite share: it is made in the sandbox before the first of them, and ended after the last.
type Fixture func() (end func() error, err error)

// Main runs a test suite in the sandbox and exits with its code; call it from TestMain and nothing else. The suite's
// TMPDIR is a fresh folder. The suite fails if it leaves behind a goroutine, a process, a network namespace, a file
// in TMPDIR or a file lock, and says which. It fails, too, if a fixture cannot be made or ended.
func Main(m *testing.M, fixtures ...Fixture) { MainWith(m, nil, fixtures...) }

// MainWith is Main for a suite that needs something of what the sandbox keeps from it, such as the machine's network.
// What is outside is made before the sandbox is entered, and ended when it is gone, however the suite ended; the
// environment is how it tells the suite of it.
func MainWith(m *testing.M, outside []Fixture, fixtures ...Fixture) {
	switch os.Getenv(StageEnv) {
	case stageInside:
		code := runWith(fixtures, m.Run)
		os.Exit(worse(code, leftInProcess()))
	case stageInit:
		os.Exit(beInit())
	default:
		os.Exit(runWith(outside, func() int { return enter("the test suite") }))
	}
}

// runWith makes the fixtures, one after the other, runs a suite, and ends them in reverse.
func runWith(fixtures []Fixture, run func() int) (code int) {
	if len(fixtures) == 0 {
		return run()
	}
	end, err := fixtures[0]()
	if err != nil {
		return complain("make what the tests need: %v", err)
	}
	defer func() {
		if err := end(); err != nil {
			code = max(code, complain("end what the tests needed: %v", err))
		}
	}()
	return runWith(fixtures[1:], run)
}

// Run runs a program in the sandbox and returns its exit code. Outside it executes the program again and waits for
// it; body runs only in the program inside. An error of body is printed on stderr after the program's name and makes
// the code 1. The context ends with SIGHUP, SIGINT or SIGTERM.
func Run(name string, body func(context.Context) error) int {
	switch os.Getenv(StageEnv) {
	case stageInside:
		ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGHUP, syscall.SIGINT, syscall.SIGTERM)
		defer stop()
		if err := body(ctx); err != nil {
			fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
			return 1
		}
		return 0
	case stageInit:
		return beInit()
	default:
		return enter(name)
	}
}

// enter starts this program again as the first process of fresh namespaces, passes signals on to it, and returns its
// exit code once it has ended and left its temporary folder empty.
func enter(name string) (code int) {
	// Pdeathsig is bound to the thread that forks, so this one must live as long as the child.
	runtime.LockOSThread()

	tmp, err := os.MkdirTemp("", "multinic-")
	if err != nil {
		return complain("make a temporary folder: %v", err)
	}
	defer func() {
		if err := os.RemoveAll(tmp); err != nil {
			code = worse(code, []string{err.Error()})
		}
	}()

	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGHUP, syscall.SIGINT, syscall.SIGTERM, syscall.SIGQUIT)
	defer signal.Stop(signals)

	cmd := again(stageInit)
	cmd.Env = append(cmd.Env, "TMPDIR="+tmp)
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | syscall.CLONE_NEWNET,
		Pdeathsig:  syscall.SIGKILL,
		// A terminal's Ctrl-C is for this process alone, which passes it on to the program inside and to none of its children.
		Setpgid: true,
	}
	if uid, gid := os.Geteuid(), os.Getegid(); uid != 0 {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: uid, Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: gid, Size: 1}}
	}
	if err := cmd.Start(); err != nil {
		return complain("%s needs namespaces of its own, and this machine refuses them: %v\n%s", name, err, remedy())
	}

	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for {
		select {
		case s := <-signals:
			_ = cmd.Process.Signal(s)
		case err := <-ended:
			return worse(ExitCode(err), leftInFolder(tmp))
		}
	}
}

// RealRoot says whether this process is root of the machine, and not only of a user namespace that an ordinary user made.
func RealRoot() bool {
	uids, err := os.ReadFile("/proc/self/uid_map")
	fields := strings.Fields(string(uids))
	return err == nil && os.Geteuid() == 0 && len(fields) > 1 && fields[0] == "0" && fields[1] == "0"
}

// again is this program once more, with the same arguments and files, in the given stage.
func again(stage string) *exec.Cmd {
	cmd := exec.CommandContext(context.Background(), "/proc/self/exe")
	cmd.Args = os.Args
	cmd.Env = append(os.Environ(), StageEnv+"="+stage)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.ExtraFiles = inheritedFiles()
	return cmd
}

// inheritedFiles are the files from descriptor 3 on that whoever started this program handed to it, as `go test`
// does with the workers of a fuzzer. Go opens its own close-on-exec, so these are all those that are not.
func inheritedFiles() []*os.File {
	var files []*os.File
	for fd := 3; ; fd++ {
		flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
		if err != nil || flags&unix.FD_CLOEXEC != 0 {
			return files
		}
		files = append(files, os.NewFile(uintptr(fd), fmt.Sprintf("inherited-%d", fd)))
	}
}

// remedy says what to do where namespaces are refused.
func remedy() string {
	if os.Geteuid() == 0 {
		return "In a container, start it with CAP_SYS_ADMIN and CAP_NET_ADMIN (--privileged); elsewhere see user_namespaces(7)."
	}
	for file, bad := range map[string]string{
		"/proc/sys/kernel/apparmor_restrict_unprivileged_userns": "1",
		"/proc/sys/kernel/unprivileged_userns_clone":             "0",
		"/proc/sys/user/max_user_namespaces":                     "0",
	} {
		if now, err := os.ReadFile(file); err == nil && strings.TrimSpace(string(now)) == bad {
			name := strings.ReplaceAll(strings.TrimPrefix(file, "/proc/sys/"), "/", ".")
			return fmt.Sprintf("The cause is the setting %s=%s: run it as root (with sudo), or ask the machine's owner to change that.", name, bad)
		}
	}
	return "Run it as root (with sudo), or allow unprivileged user namespaces: see user_namespaces(7)."
}

func complain(format string, args ...any) int {
	fmt.Fprintf(os.Stderr, "sandbox: "+format+"\n", args...)
	return 1
}

// ExitCode is the code that a shell would show for how a process ended.
func ExitCode(err error) int {
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0
	case !errors.As(err, &exit):
		return complain("wait for the sandbox: %v", err)
	}
	if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return 128 + int(status.Signal())
	}
	return exit.ExitCode()
}

// worse is code, or 1 if it was 0 and something was left behind, each of which it prints.
func worse(code int, left []string) int {
	for _, what := range left {
		fmt.Fprintf(os.Stderr, "sandbox: left behind: %s\n", what)
	}
	if code == 0 && len(left) > 0 {
		return 1
	}
	return code
}

// leftInFolder names the files below a folder.
func leftInFolder(dir string) []string {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return []string{err.Error()}
	}
	var left []string
	for _, entry := range entries {
		left = append(left, "file "+filepath.Join(dir, entry.Name()))
	}
	return left
}
