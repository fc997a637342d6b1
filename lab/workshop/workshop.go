// Package workshop runs the programs that build container images (docker, podman, buildah as Debian brings them; nerdctl with BuildKit, which
// it does not) in a root tree of their own: the machine needs none of them installed, and what they make and start ends with the test.
//
// They have no network but loopback. What the images are built from is therefore made before, where there is a network (Fixture): the tree,
// and an image that has Go and all modules that the builds need, as golang:1.26 has Go and a registry would have the modules.
package workshop

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"multinic.dev/testbed/sandbox"
)

const (
	// Source is where the repository is in the workshop, read-only.
	Source = "/src"
	// Tools is where the folder of Options.Tools is.
	Tools = "/tools"
	// goRoot is where Go is.
	goRoot = "/usr/local/go"
	// nerdctlPrograms is where nerdctl and BuildKit's programs are.
	nerdctlPrograms = "/opt/nerdctl"
	// baseContext is where the Dockerfile of the base image is, and the files that it adds.
	baseContext = "/base"
)

// Workshop is a root tree in which builders run. It ends with its test. Its methods are not safe for concurrent use.
type Workshop struct {
	t testing.TB
	// folder has the disk: what differs from the tree (upper), what the builders keep (docker, containers, containerd), and the root itself.
	folder string
	stock  stock
	// served are the programs that were started and stay, in their order.
	served []served
}

// Open makes a workshop from what Fixture has prepared. The test is skipped where nothing was prepared, and says why.
func Open(tb testing.TB, tools string) *Workshop {
	tb.Helper()
	stock, err := prepared()
	if err != nil {
		tb.Skip(err)
	}
	w := &Workshop{t: tb, stock: stock}
	w.makeFolder()
	w.furnish(stock.Tree)
	for _, one := range []struct{ from, to string }{
		{stock.Source, Source},
		{tools, Tools},
		{stock.GoRoot, goRoot},
		{stock.Base, baseContext},
		{stock.Nerdctl, nerdctlPrograms},
	} {
		w.show(one.from, one.to)
	}

	return w
}

// In is the same workshop for a part of its test, which ends when something fails.
func (w *Workshop) In(tb testing.TB) *Workshop {
	tb.Helper()
	part := *w
	part.t = tb

	return &part
}

// makeFolder makes the workshop's folder. It is no test's own temporary folder, which would be removed with all that is still mounted in it.
func (w *Workshop) makeFolder() {
	w.t.Helper()
	folder, err := os.MkdirTemp("", "workshop-")
	if err != nil {
		w.t.Fatalf("make a folder for the workshop: %v", err)
	}
	w.folder = folder
	w.t.Cleanup(w.close)
}

// furnish mounts the root: the tree with a layer on top of it, what a running system has, and real disks for the builders' own layers, which
// cannot lie on top of a layer.
func (w *Workshop) furnish(tree string) {
	w.t.Helper()
	for _, name := range []string{"root", "upper", "work", "docker", "containers", "containerd"} {
		if err := os.Mkdir(filepath.Join(w.folder, name), 0o755); err != nil {
			w.t.Fatalf("make the workshop: %v", err)
		}
	}
	layers := fmt.Sprintf("lowerdir=%s,upperdir=%s/upper,workdir=%s/work", tree, w.folder, w.folder)
	w.mount("overlay", "/", "overlay", 0, layers)
	w.mount("proc", "/proc", "proc", 0, "")
	w.mount("sysfs", "/sys", "sysfs", 0, "")
	w.mount("/dev", "/dev", "", unix.MS_BIND|unix.MS_REC, "")
	w.mount("tmpfs", "/run", "tmpfs", 0, "mode=0755")
	// Builders see the unified hierarchy alone: so all groups that they make lie below one.
	w.mount(w.stock.Unified, "/sys/fs/cgroup", "", unix.MS_BIND, "")
	for _, name := range []string{"docker", "containers", "containerd"} {
		w.mount(filepath.Join(w.folder, name), "/var/lib/"+name, "", unix.MS_BIND, "")
	}
}

// show mounts a folder of the machine's, read-only.
func (w *Workshop) show(from, to string) {
	w.t.Helper()
	w.mount(from, to, "", unix.MS_BIND, "")
	w.mount("", to, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY, "")
}

func (w *Workshop) mount(source, target, kind string, flags uintptr, options string) {
	w.t.Helper()
	at := w.Path(target)
	if err := os.MkdirAll(at, 0o755); err != nil {
		w.t.Fatalf("make a folder in the workshop: %v", err)
	}
	if err := unix.Mount(source, at, kind, flags, options); err != nil {
		w.t.Fatalf("mount %s in the workshop: %v", target, err)
	}
}

// close ends what was started, and takes the root away with all that is mounted in it.
func (w *Workshop) close() {
	w.stop()
	// While something is mounted below, nothing may be removed: it would be the machine's. EINVAL says that nothing was ever mounted.
	if err := unix.Unmount(w.Path("/"), unix.MNT_DETACH); err != nil && !errors.Is(err, unix.EINVAL) {
		w.t.Errorf("unmount the workshop: %v", err)

		return
	}
	if err := os.RemoveAll(w.folder); err != nil {
		w.t.Errorf("remove the workshop: %v", err)
	}
}

// Path is where the machine has a file of the workshop's.
func (w *Workshop) Path(file string) string { return filepath.Join(w.folder, "root", file) }

// Command is a program that will run in the workshop, as root, with an environment of its own to which some variables are added.
func (w *Workshop) Command(ctx context.Context, environment []string, name string, arguments ...string) *exec.Cmd {
	// The program is looked for in the workshop's PATH, not in this one's.
	cmd := exec.CommandContext(ctx, "/usr/bin/env", append([]string{name}, arguments...)...)
	cmd.Dir = "/"
	cmd.Env = append([]string{
		"PATH=" + goRoot + "/bin:" + nerdctlPrograms + ":/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LC_ALL=C.UTF-8", "TMPDIR=/var/tmp",
		// Its builds run in namespaces that are the workshop's already.
		"BUILDAH_ISOLATION=chroot",
	}, environment...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: w.Path("/")}

	return cmd
}

// Run runs a program in the workshop, and returns what it printed and the code with which it exited.
func (w *Workshop) Run(environment []string, name string, arguments ...string) (output string, code int) {
	w.t.Helper()
	out, err := w.Command(w.t.Context(), environment, name, arguments...).CombinedOutput()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		w.t.Fatalf("run %s in the workshop: %v", name, err)
	}

	return string(out), sandbox.ExitCode(err)
}

// MustRun is Run for what must not fail: then it ends the test.
func (w *Workshop) MustRun(environment []string, name string, arguments ...string) string {
	w.t.Helper()
	output, code := w.Run(environment, name, arguments...)
	if code != 0 {
		w.t.Fatalf("in the workshop %s %q exited with %d:\n%s%s", name, arguments, code, output, w.said())
	}

	return output
}
