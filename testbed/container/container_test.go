package container_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"multinic.dev/testbed/container"
	"multinic.dev/testbed/debian"
	"multinic.dev/testbed/node"
)

func TestMain(m *testing.M) { container.Main(m) }

// both are the releases that containers boot.
var both = []debian.Release{debian.Bookworm, debian.Trixie}

// static is a Netplan file that gives a card an address.
func static(card, address string) string {
	return fmt.Sprintf("network:\n  version: 2\n  ethernets:\n    %s:\n      dhcp4: false\n      accept-ra: false\n      link-local: []\n      optional: true\n      addresses: [%s]\n", card, address)
}

// addresses are the IPv4 addresses of a card.
func addresses(n *node.Node, card string) string {
	out, err := n.TryIP("-4", "-o", "address", "show", "dev", card)
	if err != nil {
		return err.Error()
	}
	var found []string
	for line := range strings.Lines(out) {
		found = append(found, strings.Fields(line)[3])
	}
	return strings.Join(found, " ")
}

func TestAContainerBootsWithTheReleasesOwnSystemd(t *testing.T) {
	for _, release := range both {
		t.Run(string(release), func(t *testing.T) {
			began := time.Now()
			c := container.Boot(t, release, "node-1")
			t.Logf("booted in %v", time.Since(began))
			if got := strings.TrimSpace(c.MustRun("systemctl", "is-system-running")); got != "running" {
				t.Errorf("it is %s", got)
			}
			want := map[debian.Release]string{debian.Bookworm: "systemd 252 ", debian.Trixie: "systemd 257 "}[release]
			if got := c.MustRun("systemctl", "--version"); !strings.HasPrefix(got, want) {
				t.Errorf("it has %s", got)
			}
			for _, unit := range []string{"systemd-udevd", "dbus"} {
				if out, code := c.Run("systemctl", "is-active", unit); code != 0 {
					t.Errorf("%s is %s", unit, out)
				}
			}
			if got := strings.TrimSpace(c.MustRun("hostname")); got != "node-1" {
				t.Errorf("its name is %q", got)
			}
		})
	}
}

func TestAContainerSeesItsOwnLinksAndChangesNothingOfTheMachinesButThose(t *testing.T) {
	for _, release := range both {
		t.Run(string(release), func(t *testing.T) {
			c := container.New(t, release, "node-1")
			c.PlugIn("eth1", "02:00:00:00:00:01", nil)
			c.Boot()
			c.PlugIn("eth2", "02:00:00:00:00:02", nil)
			if got := strings.Fields(c.MustRun("ls", "/sys/class/net")); !slices.Equal(got, []string{"eth1", "eth2", "lo"}) {
				t.Errorf("its /sys has the links %q", got)
			}
			// udevadm waits for what the kernel announces and udev answers: in a /sys of another network that is nothing.
			c.MustRun("udevadm", "trigger", "--settle", "--subsystem-match=net", "--action=change")
			c.MustRun("sh", "-c", "echo 1 >/proc/sys/net/ipv4/conf/eth1/arp_ignore")
			for _, setting := range []string{"kernel/printk", "vm/swappiness", "fs/file-max"} {
				if out, code := c.Run("sh", "-c", "cat /proc/sys/"+setting+" >/proc/sys/"+setting); code == 0 || !strings.Contains(out, "Read-only file system") {
					t.Errorf("writing the machine's %s has the code %d, and says %q", setting, code, out)
				}
			}
		})
	}
}

func TestNetplanConfiguresACardOfAContainer(t *testing.T) {
	for _, release := range both {
		t.Run(string(release), func(t *testing.T) {
			c := container.Boot(t, release, "node-1")
			c.PlugIn("eth1", "02:00:00:00:00:01", nil)
			c.Write("/etc/netplan/60-test.yaml", 0o600, static("eth1", "192.0.2.10/24"))
			if got := addresses(c.Node, "eth1"); got != "" {
				t.Errorf("before: %s", got)
			}
			began := time.Now()
			c.MustRun("netplan", "apply")
			c.Configured("eth1")
			t.Logf("applied in %v", time.Since(began))
			if got := addresses(c.Node, "eth1"); got != "192.0.2.10/24" {
				t.Errorf("after: %s", got)
			}
		})
	}
}

func TestACardIsConfiguredWhenItIsPluggedInAndAgainWhenItComesBack(t *testing.T) {
	for _, release := range both {
		t.Run(string(release), func(t *testing.T) {
			c := container.New(t, release, "node-1")
			c.Write("/etc/netplan/60-test.yaml", 0o600, static("eth1", "192.0.2.10/24"))
			c.Boot()
			wire := node.NewWire(t, "wire")
			gateway := wire.AddHost("gateway", "192.0.2.1/24")
			nic := c.PlugIn("eth1", "02:00:00:00:00:01", wire)
			for range 2 {
				c.Configured("eth1")
				if got := addresses(c.Node, "eth1"); got != "192.0.2.10/24" {
					t.Errorf("plugged in, it has %s", got)
				}
				if out, err := gateway.Command(t.Context(), "ping", "-c1", "-W5", "192.0.2.10").CombinedOutput(); err != nil {
					t.Errorf("its neighbour does not reach it: %v\n%s", err, out)
				}
				nic.Unplug()
				if got := addresses(c.Node, "eth1"); !strings.Contains(got, "does not exist") {
					t.Errorf("unplugged, it has %s", got)
				}
				nic = nic.PlugInAgain("eth1", "02:00:00:00:00:01")
			}
		})
	}
}

func TestWhatIsOnTheDiskOutlivesEveryEndOfAContainerAndWhatIsInTheKernelNone(t *testing.T) {
	for _, release := range both {
		t.Run(string(release), func(t *testing.T) {
			c := container.Boot(t, release, "node-1")
			c.PlugIn("eth1", "02:00:00:00:00:01", nil)
			c.PlugIn("eth2", "02:00:00:00:00:02", nil)
			c.Write("/etc/netplan/60-test.yaml", 0o600, static("eth1", "192.0.2.10/24"))
			bootID := c.MustRun("cat", "/proc/sys/kernel/random/boot_id")
			machineID := c.MustRun("cat", "/etc/machine-id")
			disk := c.Files("/etc", "/var/lib/multinic")
			for _, end := range []struct {
				name string
				boot func()
			}{
				{"reboot", c.Reboot},
				{"power cut", func() { c.Kill(); c.Boot() }},
				{"reboot from inside", func() { _, _ = c.Run("systemctl", "reboot"); c.AwaitOff(); c.Boot() }},
			} {
				c.IP("address", "add", "198.51.100.2/24", "dev", "eth2")
				c.IP("link", "set", "eth2", "name", "other")
				c.MustRun("touch", "/run/of-this-boot")
				began := time.Now()
				end.boot()
				t.Logf("%s: up again after %v", end.name, time.Since(began))
				c.Configured("eth1")
				if got := addresses(c.Node, "eth1"); got != "192.0.2.10/24" {
					t.Errorf("after a %s eth1 has %s", end.name, got)
				}
				if got := addresses(c.Node, "eth2"); got != "" {
					t.Errorf("after a %s eth2 has %s", end.name, got)
				}
				if _, code := c.Run("test", "-e", "/run/of-this-boot"); code == 0 {
					t.Errorf("after a %s /run is what it was", end.name)
				}
				if got := c.Files("/etc", "/var/lib/multinic"); got != disk {
					t.Errorf("after a %s the disk is\n%s\nand was\n%s", end.name, got, disk)
				}
				if got := c.MustRun("cat", "/proc/sys/kernel/random/boot_id"); got == bootID {
					t.Errorf("after a %s it is the same boot", end.name)
				}
				if got := c.MustRun("cat", "/etc/machine-id"); got != machineID {
					t.Errorf("after a %s it is another machine: %s", end.name, got)
				}
			}
		})
	}
}

func TestTwoContainersOnAWireReachEachOtherAndShareNothing(t *testing.T) {
	wire := node.NewWire(t, "wire")
	one, two := container.New(t, debian.Bookworm, "node-1"), container.New(t, debian.Trixie, "node-2")
	for i, c := range []*container.Container{one, two} {
		c.PlugIn("eth0", fmt.Sprintf("02:00:00:00:00:%02x", i), wire)
		c.Write("/etc/netplan/50-cloud-init.yaml", 0o600, static("eth0", fmt.Sprintf("192.0.2.%d/24", i+1)))
		c.Boot()
		c.Configured("eth0")
	}
	for _, ping := range []struct {
		from *container.Container
		to   string
	}{{one, "192.0.2.2"}, {two, "192.0.2.1"}} {
		if out, err := ping.from.Command(t.Context(), "ping", "-c1", "-W5", ping.to).CombinedOutput(); err != nil {
			t.Errorf("%s does not reach %s: %v\n%s", ping.from.Name(), ping.to, err, out)
		}
	}
	one.MustRun("touch", "/etc/of-one")
	if _, code := two.Run("test", "-e", "/etc/of-one"); code == 0 {
		t.Error("the disk is shared")
	}
	if one.MustRun("cat", "/etc/machine-id") == two.MustRun("cat", "/etc/machine-id") {
		t.Error("they are the same machine")
	}
}

func TestADiskIsSavedRestoredAndCompared(t *testing.T) {
	c := container.New(t, debian.Trixie, "node-1")
	saved := filepath.Join(t.TempDir(), "saved")
	c.Write("/etc/netplan/60-test.yaml", 0o600, static("eth1", "192.0.2.10/24"))
	was := c.Files("/etc", "/var/lib/multinic")
	if !strings.Contains(was, "/etc/netplan/60-test.yaml -rw------- 0:0 ") {
		t.Errorf("the list lacks the file:\n%s", was)
	}
	c.Save(saved, "/etc", "/var/lib/multinic")
	for name, change := range map[string]func(){
		"content": func() { c.Write("/etc/netplan/60-test.yaml", 0o600, static("eth1", "192.0.2.11/24")) },
		"mode":    func() { c.Write("/etc/netplan/60-test.yaml", 0o644, static("eth1", "192.0.2.10/24")) },
		"new":     func() { c.Write("/etc/netplan/61-test.yaml", 0o600, "") },
		"state":   func() { c.Write("/var/lib/multinic/state.json", 0o600, "{}") },
		"booted":  func() { c.Boot(); c.MustRun("rm", "/etc/netplan/60-test.yaml"); c.Kill() },
	} {
		change()
		if c.Files("/etc", "/var/lib/multinic") == was {
			t.Errorf("%s: no difference is seen", name)
		}
		c.Restore(saved, "/etc", "/var/lib/multinic")
		if now := c.Files("/etc", "/var/lib/multinic"); now != was {
			t.Errorf("%s: restored, it is\n%s\nand was\n%s", name, now, was)
		}
	}
}

func TestAProgramsOutputAndItsCodeComeBack(t *testing.T) {
	c := container.Boot(t, debian.Trixie, "node-1")
	if out, code := c.Run("sh", "-c", "echo said; echo complained >&2; exit 7"); out != "said\ncomplained\n" || code != 7 {
		t.Errorf("code %d, output %q", code, out)
	}
	if out, code := c.Run("sh", "-c", "kill -9 $$"); out != "" || code != 128+9 {
		t.Errorf("code %d, output %q", code, out)
	}
	if out, code := c.Run("no-such-program"); code == 0 {
		t.Errorf("code %d, output %q", code, out)
	}
	if out := c.MustRun("env"); strings.Contains(out, "TMPDIR") || strings.Contains(out, "MULTINIC") {
		t.Errorf("it has the test's environment:\n%s", out)
	}
}

func TestADiskHasTheRoomThatIsLeft(t *testing.T) {
	c := container.New(t, debian.Trixie, "node-1")
	page := make([]byte, os.Getpagesize())
	write := func(name string) error { return os.WriteFile(c.Path(name), page, 0o600) }
	c.LeaveRoom(2)
	if err := errors.Join(write("/etc/one"), write("/var/two")); err != nil {
		t.Errorf("there was no room for two pages: %v", err)
	}
	if err := write("/etc/three"); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("writing a third page: %v", err)
	}
	c.MakeRoom()
	if err := write("/etc/three"); err != nil {
		t.Errorf("with room again: %v", err)
	}
}
