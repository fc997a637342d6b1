package vm_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"multinic.dev/testbed/debian"
	"multinic.dev/testbed/node"
	"multinic.dev/testbed/vm"
)

func TestMain(m *testing.M) { vm.Main(m) }

// onBoth runs a test on both releases, one after the other.
func onBoth(t *testing.T, test func(t *testing.T, release debian.Release)) {
	t.Helper()
	for _, release := range []debian.Release{debian.Bookworm, debian.Trixie} {
		t.Run(string(release), func(t *testing.T) { test(t, release) })
	}
}

// links are the guest's links but for its loopback, each with its permanent address or, if it has another one now, none.
func links(v *vm.VM) string {
	return v.MustRun("sh", "-c", "ip -o link | sed -n 's/^[0-9]*: \\([^:]*\\):.* link.ether \\([0-9a-f:]*\\).*/\\1 \\2/p'")
}

// eventually waits until something in the guest is so.
func eventually(t *testing.T, v *vm.VM, want string, is func() string) {
	t.Helper()
	got := ""
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); {
		if got = is(); got == want {
			return
		}
	}
	t.Errorf("in %s: %q, not %q", v.Name(), got, want)
}

func TestAMachineStartsFromTheSnapshotAsOneOfItsOwn(t *testing.T) {
	onBoth(t, func(t *testing.T, release debian.Release) {
		t.Helper()
		began := time.Now()
		v := vm.Start(t, release, "node-1")
		t.Logf("started in %v", time.Since(began))
		if got := strings.TrimSpace(v.MustRun("systemctl", "is-system-running")); got != "running" {
			t.Errorf("it is %s", got)
		}
		want := map[debian.Release]string{debian.Bookworm: "systemd 252 ", debian.Trixie: "systemd 257 "}[release]
		if got := v.MustRun("systemctl", "--version"); !strings.HasPrefix(got, want) {
			t.Errorf("it has %s", got)
		}
		if got := links(v); got != "" {
			t.Errorf("it has cards: %s", got)
		}
		began = time.Now()
		now, err := time.Parse(time.RFC3339Nano, strings.TrimSpace(v.MustRun("date", "--utc", "+%Y-%m-%dT%H:%M:%S.%NZ")))
		if err != nil || now.Before(began.Add(-5*time.Second)) || now.After(time.Now()) {
			t.Errorf("its clock says %v, error %v; it is %v", now, err, time.Now())
		}
		other := vm.Start(t, release, "node-2")
		for _, own := range []string{"hostname", "cat /etc/hostname", "cat /etc/machine-id", "head -c 16 /dev/urandom | base64", "cat /proc/sys/kernel/random/uuid"} {
			one, another := v.MustRun("sh", "-c", own), other.MustRun("sh", "-c", own)
			if one == another || one == "" {
				t.Errorf("%s: both have %q", own, one)
			}
		}
		if got := v.MustRun("journalctl", "--quiet", "--no-pager", "--lines=1"); got == "" {
			t.Error("its journal does not find itself")
		}
	})
}

func TestACardThatIsPluggedInIsThereUntilItIsUnplugged(t *testing.T) {
	onBoth(t, func(t *testing.T, release debian.Release) {
		t.Helper()
		v := vm.New(t, release, "node-1")
		first := v.PlugIn("02:00:00:00:00:01", nil)
		v.Start()
		eventually(t, v, "eth0 02:00:00:00:00:01\n", func() string { return links(v) })
		began := time.Now()
		second := v.PlugIn("02:00:00:00:00:02", nil)
		eventually(t, v, "eth0 02:00:00:00:00:01\neth1 02:00:00:00:00:02\n", func() string { return links(v) })
		t.Logf("plugged in within %v", time.Since(began))

		// The permanent address is that of the card, whatever the link is given.
		v.MustRun("ip", "link", "set", "eth1", "address", "02:00:00:00:00:99")
		if got := v.MustRun("ip", "link", "show", "dev", "eth1"); !strings.Contains(got, "permaddr 02:00:00:00:00:02") {
			t.Errorf("the link is %s", got)
		}
		v.MustRun("ip", "link", "set", "eth1", "up")
		carrier := func() string { return v.MustRun("cat", "/sys/class/net/eth1/carrier") }
		eventually(t, v, "1\n", carrier)
		second.Disconnect()
		eventually(t, v, "0\n", carrier)
		second.Reconnect()
		eventually(t, v, "1\n", carrier)

		began = time.Now()
		first.Unplug()
		eventually(t, v, "eth1 02:00:00:00:00:99\n", func() string { return links(v) })
		t.Logf("unplugged within %v", time.Since(began))
		slot := func() string { return v.MustRun("sh", "-c", "basename $(readlink -f /sys/class/net/eth0/device/..)") }
		first = first.PlugInAgain()
		eventually(t, v, "eth0 02:00:00:00:00:01\neth1 02:00:00:00:00:99\n", func() string { return sorted(links(v)) })
		if got := slot(); got != "0000:00:10.0\n" {
			t.Errorf("it came back in the slot %s", got)
		}
		first.Unplug()
		first.PlugInAgain(vm.Slot(0x1f))
		eventually(t, v, "eth0 02:00:00:00:00:01\neth1 02:00:00:00:00:99\n", func() string { return sorted(links(v)) })
		if got := slot(); got != "0000:00:1f.0\n" {
			t.Errorf("it came back in the slot %s", got)
		}
	})
}

func sorted(lines string) string {
	return strings.Join(slices.Sorted(strings.Lines(lines)), "")
}

func TestMachinesOnOneWireReachEachOtherAlsoOverAVLAN(t *testing.T) {
	wire := node.NewWire(t, "wire")
	peer := wire.AddHost("peer", "192.0.2.1/24")
	var all []*vm.VM
	for i, release := range []debian.Release{debian.Bookworm, debian.Trixie} {
		v := vm.Start(t, release, fmt.Sprint("node-", i+1))
		if got := v.PlugIn(fmt.Sprint("02:00:00:00:00:1", i+1), wire).Link(); got != "eth0" {
			t.Errorf("the card is called %q", got)
		}
		v.MustRun("modprobe", "8021q")
		for _, command := range []string{
			"link set eth0 up", "address add 192.0.2.1" + strconv.Itoa(i+1) + "/24 dev eth0",
			"link add link eth0 name eth0.100 type vlan id 100", "link set eth0.100 up", "address add 198.51.100.1" + strconv.Itoa(i+1) + "/24 dev eth0.100",
		} {
			v.MustRun("ip", strings.Fields(command)...)
		}
		all = append(all, v)
	}
	for i, v := range all {
		for _, to := range []string{"192.0.2.1", "192.0.2.1" + strconv.Itoa(2-i), "198.51.100.1" + strconv.Itoa(2-i)} {
			if out, code := v.Run("ping", "-c1", "-W20", to); code != 0 {
				t.Errorf("%s does not reach %s: %s", v.Name(), to, out)
			}
		}
	}
	if out, err := peer.Command(t.Context(), "ping", "-c1", "-W20", "192.0.2.12").CombinedOutput(); err != nil {
		t.Errorf("the peer does not reach a machine: %v\n%s", err, out)
	}
	all[1].MustRun("ip", "link", "set", "eth0", "down")
	if out, code := all[0].Run("ping", "-c1", "-W2", "192.0.2.12"); code == 0 {
		t.Errorf("a machine answers whose card is down: %s", out)
	}
}

func TestAfterAPowerCutThereIsWhatWasSyncedAndNothingElse(t *testing.T) {
	onBoth(t, func(t *testing.T, release debian.Release) {
		t.Helper()
		v := vm.New(t, release, "node-1")
		v.PlugIn("02:00:00:00:00:01", nil)
		v.Start()
		v.PlugIn("02:00:00:00:00:02", nil)
		v.Write("/etc/written", 0o640, "written\n")
		v.MustRun("mount", "-o", "remount,commit=1000", "/") // The kernel itself syncs nothing meanwhile.
		v.MustRun("sh", "-c", "echo synced >/etc/synced; sync /etc/synced /etc; echo lost >/etc/lost")
		if got := v.MustRun("cat", "/etc/synced", "/etc/lost"); got != "synced\nlost\n" {
			t.Errorf("before it: %s", got)
		}
		v.Kill()
		began := time.Now()
		v.Boot()
		t.Logf("booted in %v", time.Since(began))
		if got := v.MustRun("sh", "-c", "cat /etc/written /etc/synced /etc/hostname; stat --format=%a /etc/written"); got != "written\nsynced\nnode-1\n640\n" {
			t.Errorf("after it: %s", got)
		}
		if out, code := v.Run("cat", "/etc/lost"); code == 0 {
			t.Errorf("what was not synced is there: %s", out)
		}
		if got := links(v); got != "eth0 02:00:00:00:00:01\neth1 02:00:00:00:00:02\n" {
			t.Errorf("it has the cards %s", got)
		}
		v.MustRun("sh", "-c", "echo kept >/etc/lost")
		v.Shutdown()
		began = time.Now()
		v.Boot()
		t.Logf("booted again in %v", time.Since(began))
		if got := v.MustRun("cat", "/etc/lost"); got != "kept\n" {
			t.Errorf("after a shutdown in good order: %s", got)
		}
	})
}

func TestAForkHasWhatAPowerCutWouldHaveLeftThen(t *testing.T) {
	v := vm.Start(t, debian.Trixie, "node-1")
	v.MustRun("mount", "-o", "remount,commit=1000", "/") // The kernel itself syncs nothing meanwhile.
	v.Write("/etc/step", 0o644, "1\n")
	v.MustRun("sh", "-c", "echo lost >/etc/lost")
	fork := v.Fork("fork")
	v.Write("/etc/step", 0o644, "2\n")
	fork.Boot()
	if got := fork.MustRun("cat", "/etc/step"); got != "1\n" {
		t.Errorf("the fork is at step %s", got)
	}
	if out, code := fork.Run("cat", "/etc/lost"); code == 0 {
		t.Errorf("what was not synced is there: %s", out)
	}
	fork.Write("/etc/step", 0o644, "3\n")
	if got := v.MustRun("cat", "/etc/step", "/etc/lost"); got != "2\nlost\n" {
		t.Errorf("the machine itself has %s", got)
	}
}

func TestAMachineBootsAsDebianDoesItself(t *testing.T) {
	onBoth(t, func(t *testing.T, release debian.Release) {
		t.Helper()
		v := vm.New(t, release, "node-1")
		nic := v.PlugIn("02:00:00:00:00:01", nil)
		v.Start()
		if got := nic.Link(); got != "eth0" {
			t.Errorf("before, the card is called %q", got)
		}
		v.ByDebian()
		v.Kill()
		began := time.Now()
		v.Boot()
		t.Logf("booted in %v", time.Since(began))
		if got := nic.Link(); got != "ens16" {
			t.Errorf("the card is called %q", got)
		}
		if got := v.MustRun("cat", "/proc/cmdline"); strings.Contains(got, "net.ifnames") {
			t.Errorf("the kernel has the arguments %s", got)
		}
		// Debian's initrd leaves its own mark.
		v.MustRun("test", "-d", "/run/initramfs")
	})
}

func TestAProgramOfThisMachinesIsPutIntoTheGuest(t *testing.T) {
	v := vm.Start(t, debian.Trixie, "node-1")
	file := filepath.Join(t.TempDir(), "large")
	if err := os.WriteFile(file, []byte(strings.Repeat("0123456789abcde\n", 20<<16)), 0o600); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	v.Put(file, "/usr/local/bin/large")
	t.Logf("20 MB were put in %v", time.Since(began))
	if got := v.MustRun("stat", "--format=%s %a", "/usr/local/bin/large"); got != "20971520 755\n" {
		t.Errorf("it is %s", got)
	}
	if got := v.MustRun("tail", "--bytes=16", "/usr/local/bin/large"); got != "0123456789abcde\n" {
		t.Errorf("it ends with %s", got)
	}
}
