// Package debian builds root trees of Debian releases for tests that boot them, once, and keeps them.
//
// A tree has systemd, udev, networkd, D-Bus, Netplan and iproute2, as the release brings them, and what its caller adds.
// It is shared by all tests of this machine and must never be written to: boot a copy, or put an overlay on top. Only
// root can build one, since its files belong to many users.
package debian

import (
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// Release is a release's code name, as its mirror knows it.
type Release string

// The releases that multinic is tested with.
const (
	Bookworm Release = "bookworm" // Debian 12
	Trixie   Release = "trixie"   // Debian 13
)

// packages are what every tree has beyond what is essential to Debian.
var packages = []string{"systemd", "systemd-sysv", "udev", "dbus", "netplan.io", "iproute2", "procps"} //nolint:gochecknoglobals // a constant list

// tidy is run in each tree once its packages are there: what is this machine's own goes, and so does what would start
// by itself in the middle of a test. $1 is the tree.
const tidy = `
set -eu
rm -rf "$1"/etc/resolv.conf "$1"/etc/apt/sources.list "$1"/var/lib/apt/lists "$1"/var/cache/* "$1"/var/log/* "$1"/usr/share/locale
printf 'node\n' >"$1/etc/hostname"
chmod 0644 "$1/etc/hostname"
# Each boot of it makes an id of its own, unless whoever boots it has written one.
: >"$1/etc/machine-id"
for unit in apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer e2scrub_reap.service fstrim.timer \
  systemd-tmpfiles-clean.timer getty@tty1.service console-getty.service; do
  ln -sfn /dev/null "$1/etc/systemd/system/$unit"
done
`

// buildTimeout is how long a tree may take to be built, when nobody else sets an end, and to be waited for, when somebody
// else builds it. It takes half a minute where the mirror is near.
const buildTimeout = 15 * time.Minute

// recipe is all that a tree is made of, and so what it is known by.
type recipe struct {
	release  Release
	packages []string
	hooks    []string
}

// Option changes what a tree is made of. Trees that are made of different things are kept beside each other.
type Option func(*recipe)

// WithPackages adds Debian packages, and what they depend on, but not what they recommend.
func WithPackages(names ...string) Option {
	return func(r *recipe) { r.packages = append(r.packages, names...) }
}

// WithHook runs a script of sh in the building machine's own root once the packages are there; $1 is the tree.
func WithHook(script string) Option { return func(r *recipe) { r.hooks = append(r.hooks, script) } }

// Tree is the folder of a release's root tree, which is built now if it is not there: that takes half a minute, needs
// root, and the network. It lives in MULTINIC_CACHE, or in multinic below the user's cache folder, outside any checkout.
// Whoever asks for a tree that somebody else is building waits for that one.
func Tree(ctx context.Context, release Release, options ...Option) (string, error) {
	r := recipe{release: release, packages: append([]string(nil), packages...)}
	for _, option := range options {
		option(&r)
	}
	return Kept(ctx, "debian-"+r.key(), func(ctx context.Context, building string) error {
		if os.Geteuid() != 0 {
			return fmt.Errorf("only root can build a tree of Debian %s", release)
		}
		return r.build(ctx, building)
	})
}

// key names the tree: the release, and a hash of all that it is made of. The packages' versions are none of it; they
// are what the mirror had on the day on which it was built.
func (r *recipe) key() string {
	hash := sha256.Sum256([]byte(strings.Join(r.arguments("TREE", "MIRROR"), "\x00")))
	return fmt.Sprintf("%s-%x", r.release, hash[:8])
}

// arguments are those of mmdebstrap.
func (r *recipe) arguments(tree, mirror string) []string {
	args := []string{
		"--mode=root", "--format=directory", "--variant=minbase", "--quiet",
		"--include=" + strings.Join(r.packages, ","),
		`--aptopt=APT::Install-Recommends "false"`,
		"--dpkgopt=path-exclude=/usr/share/doc/*", "--dpkgopt=path-exclude=/usr/share/man/*",
		"--dpkgopt=path-exclude=/usr/share/info/*", "--dpkgopt=path-exclude=/usr/share/locale/*",
		"--customize-hook=" + tidy,
	}
	for _, hook := range r.hooks {
		args = append(args, "--customize-hook="+hook)
	}
	return append(args, string(r.release), tree, fmt.Sprintf("deb [signed-by=%s] %s %s main", keyring, mirror, r.release))
}

// build makes the tree.
func (r *recipe) build(ctx context.Context, building string) error {
	mirror, err := mirror(ctx)
	if err != nil {
		return err
	}
	// Pdeathsig is bound to the thread that forks.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	// In namespaces of its own: what it mounts into the tree, and what it starts there, ends with it, however it ends.
	cmd := exec.CommandContext(ctx, "unshare",
		append([]string{"--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "mmdebstrap"}, r.arguments(building, mirror)...)...)
	cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build a tree of Debian %s with mmdebstrap (Debian package mmdebstrap; it needs the network): %w: %s", r.release, err, out)
	}
	return nil
}
