package host_test

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"multinic.dev/lab/confine"
	"multinic.dev/lab/fleet"
	"multinic.dev/lab/program"
	"multinic.dev/testbed/debian"
	"multinic.dev/testbed/oracle"
	"multinic.dev/testbed/snapshot"
)

// confined is a stage whose executor runs in the host, confined as in its container.
type confined struct {
	*stage

	unit confine.Unit
	// arguments are the executor's, beyond those that all have.
	arguments []string
	process   *program.Process
}

// sockets is the folder of the host's in which the dispatcher's socket is: on a disk that both have.
const sockets = "/srv"

// newConfined is newConfinedBy on Debian 13, which can make an executor the first process of a namespace, with a networkd as it comes.
func newConfined(t *testing.T) *confined {
	t.Helper()

	return newConfinedBy(t, debian.Trixie, false)
}

func newConfinedBy(t *testing.T, release debian.Release, byManager bool) *confined {
	t.Helper()
	c := &confined{stage: newStageBy(t, release, byManager), unit: confine.Unit{
		Name: "multinic-executor", Capabilities: confine.Capabilities(), Mounts: confine.Mounts(),
		Sockets: confine.Folder{Host: sockets, Container: "/run/multinic"}, OwnProcesses: release != debian.Bookworm,
	}}
	binary, err := os.ReadFile(static)
	if err != nil {
		t.Fatal(err)
	}
	c.host.Write(confine.Program, 0o755, string(binary))
	for _, mount := range confine.Mounts() {
		c.host.MustRun("mkdir", "-p", mount.Path)
	}
	c.wire.AddHost("neighbour", "10.1.0.99/24")

	return c
}

// start starts the executor.
func (c *confined) start() {
	c.Helper()
	command := c.unit.Command(append([]string{
		"--identity=insecure", "--dispatcher=unix:" + c.unit.Sockets.Container + "/dispatcher.sock", "--node-name=" + nodeName,
		"--host-root=" + confine.HostRoot, "--state-dir=" + confine.StateDir,
	}, c.arguments...)...)
	process, err := program.Start("confined executor", c.host.Inside(context.Background(), command[0], command[1:]...))
	if err != nil {
		c.Fatal(err)
	}
	c.process = process
}

// stop stops the executor, if it runs.
func (c *confined) stop() {
	c.Helper()
	c.host.Run("systemctl", "stop", c.unit.Name) // It may have ended by itself.
	if _, err := c.process.Wait(fleet.Patience); err != nil {
		c.Fatal(err)
	}
	if scandal := c.process.Scandal(); scandal != "" {
		c.Errorf("%s", scandal)
	}
}

// life has an executor configure two NICs, change one, find that an address is in use, and give both back. It returns what goes wrong
// first, or nothing.
func (c *confined) life() (wrong string) {
	c.Helper()
	c.start()
	defer c.stop()
	all := rows()
	c.fleet.Insert(all...)
	result := func() string { return c.fleet.Result(nodeName, mac(0)) }
	failed := func() bool { return strings.HasPrefix(result(), "FAILED") }
	proved := func() bool { return c.fleet.Flags() == "1 1" }
	change := func(address string) { c.set(mac(0), "ip_address = '"+address+"', netplan_success = 0") }
	if wrong := c.step("first apply", proved, failed); wrong != "" {
		return wrong
	}
	c.wantActivated("first apply")
	if wrong := c.node.Judge(oracle.Expect{ByManager: c.byManager}, all...); wrong != "" {
		return wrong
	}
	all[0].Address = "10.1.0.11"
	change(all[0].Address)
	if wrong := c.step("change", proved, failed); wrong != "" {
		return wrong
	}
	change("10.1.0.99")
	if wrong := c.step("failure", func() bool { return strings.HasPrefix(result(), "FAILED ADDRESS_IN_USE") }, failed); wrong != "" {
		return wrong
	}
	if wrong := c.node.Judge(oracle.Expect{ByManager: c.byManager}, all...); wrong != "" {
		return wrong
	}

	return c.remove()
}

// remove has the executor give back all NICs. An empty table alone would be held by the guard.
func (c *confined) remove() (wrong string) {
	c.Helper()
	for left := 1; left >= 0 && wrong == ""; left-- {
		c.fleet.SQL("DELETE FROM multi_interface WHERE mac_address = '" + mac(left) + "'")
		wrong = c.step("removal", func() bool { return len(c.fleet.View(nodeName).GetInterfaces()) == left },
			func() bool { return c.logged("removal finished", `"level":"error"`) })
	}

	return wrong
}

// logged says whether the executor has logged a line with all of some words.
func (c *confined) logged(words ...string) bool {
	for line := range strings.Lines(c.process.Log()) {
		if !slices.ContainsFunc(words, func(word string) bool { return !strings.Contains(line, word) }) {
			return true
		}
	}

	return false
}

// step waits until something is so, or waiting is of no use, and says what is in its place.
func (c *confined) step(what string, so, hopeless func() bool) (wrong string) {
	c.Helper()
	if c.within(func() bool { return so() || hopeless() || !c.process.Running() }) && so() {
		return ""
	}

	return what + ": " + c.fleet.View(nodeName).String() + "\n" + c.process.Log()
}

// within waits until something is so, for a while, and says whether it is.
func (c *confined) within(so func() bool) bool {
	deadline := time.Now().Add(fleet.Patience)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !so() {
		if time.Now().After(deadline) {
			return false
		}
		<-tick.C
	}

	return true
}

// TestAnExecutorRunsTheSameInItsContainer with exactly what the documentation lists.
func TestAnExecutorRunsTheSameInItsContainer(t *testing.T) {
	for _, release := range both() {
		for _, byManager := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, networkd: %v", release, byManager), func(t *testing.T) { runsTheSame(t, newConfinedBy(t, release, byManager)) })
		}
	}
}

func runsTheSame(t *testing.T, c *confined) {
	t.Helper()
	files, kernel := c.host.Files("/etc"), c.kernel()
	if wrong := c.life(); wrong != "" {
		t.Error(wrong)
	}
	for _, difference := range differences(files, c.host.Files("/etc")) {
		t.Errorf("/etc has changed: %s", difference)
	}
	// The cards have other names now, since theirs are multinic's.
	for _, difference := range snapshot.Differences(kernel, c.kernel(), "multi*") {
		t.Errorf("the kernel has changed: %s", difference)
	}
}

// TestAnExecutorThatIsKilledInItsContainerIsFollowedByOne that puts back what it has left, and does it again.
func TestAnExecutorThatIsKilledInItsContainerIsFollowedByOne(t *testing.T) {
	c := newConfined(t)
	all := rows()
	c.start()
	c.fleet.Insert(all...)
	c.until(c.inTransaction)
	c.host.MustRun("systemctl", "kill", "--signal=KILL", c.unit.Name)
	if _, err := c.process.Wait(fleet.Patience); err != nil {
		t.Fatal(err)
	}
	if !c.inTransaction() {
		t.Fatal("it was killed when all was done: nothing is shown")
	}
	c.start()
	defer c.stop()
	c.fleet.AwaitAll()
	c.right(oracle.Expect{}, all...)
	if !c.logged("a transaction was left in the middle") {
		t.Errorf("its successor has recovered nothing:\n%s", c.process.Log())
	}
}

// TestAnExecutorNeedsLessWhereNothingOutlivesABoot is what the documentation says of the backend netlink.
func TestAnExecutorNeedsLessWhereNothingOutlivesABoot(t *testing.T) {
	c := newConfined(t)
	c.arguments = []string{"--backend=netlink"}
	c.unit.Capabilities = slices.DeleteFunc(confine.Capabilities(), func(one confine.Capability) bool { return one.Name == "SYS_CHROOT" })
	c.unit.Mounts = slices.DeleteFunc(confine.Mounts(), func(one confine.Mount) bool { return one.Path != "/proc/sys/net" && one.Path != "/var/lib/multinic" })
	if wrong := c.life(); wrong != "" {
		t.Error(wrong)
	}
}

// TestAnExecutorInItsContainerSeesWhatPodsHave: a NIC on which a pod's macvlan stands is in use.
func TestAnExecutorInItsContainerSeesWhatPodsHave(t *testing.T) {
	c := newConfined(t)
	c.node.PlugIn("ens9", mac(9), c.wire)
	c.node.AddPod("pod1", "10.244.0.5/32")
	c.node.AddMACVLAN("net1", "ens9", "bridge")
	c.node.IP("link", "set", "net1", "netns", "pod1")
	c.start()
	defer c.stop()
	c.fleet.Insert(fleet.Row{Node: nodeName, MAC: mac(9), Address: "10.1.0.19", Mask: "24"})
	c.fleet.AwaitResult(nodeName, mac(9), "REFUSED LINK_IN_USE")
	c.fleet.SQL("DELETE FROM multi_interface")
}

// leaving is a generator that does its work, and leaves something running that has nothing of its open.
const leaving = `#!/bin/sh
sleep infinity </dev/null >/dev/null 2>&1 &
exec /root/generate "$@"
`

// TestWhatNetplanLeavesRunningEndsAsWell, and nothing of it stays, though the executor is the first process of its namespace, to which
// orphans fall.
func TestWhatNetplanLeavesRunningEndsAsWell(t *testing.T) {
	c := newConfined(t)
	program := generator(c.stage)
	c.host.MustRun("mv", program, "/root/generate")
	c.host.Write(program, 0o755, leaving)
	c.start()
	defer c.stop()
	c.fleet.Insert(rows()...)
	c.fleet.AwaitAll()
	children := func() []string {
		return strings.Fields(c.host.MustRun("sh", "-c", "ps --no-headers -o stat,comm --ppid "+c.main()+" || true"))
	}
	if left := children(); len(left) > 0 {
		t.Errorf("the executor has children: %v", left)
	}
	if left := strings.TrimSpace(c.host.MustRun("sh", "-c", "pgrep --list-full sleep || true")); left != "" {
		t.Errorf("there are left: %s", left)
	}
}

// main is the executor's process, as the host sees it.
func (c *confined) main() string {
	c.Helper()

	return strings.TrimSpace(c.host.MustRun("systemctl", "show", "--property=MainPID", "--value", c.unit.Name))
}

// TestAnExecutorNeedsAllThatItsContainerHas takes each capability and each mount away: without it, something does not work, and says
// that it is that.
func TestAnExecutorNeedsAllThatItsContainerHas(t *testing.T) {
	c := newConfined(t)
	whole, files := c.unit, c.host.Files("/etc")
	without := func(what, because string, unit confine.Unit) {
		t.Run(what, func(t *testing.T) {
			c.unit = unit
			wrong := c.life()
			if wrong == "" {
				t.Errorf("all works without %s: take it off the list", what)
			}
			if !strings.Contains(wrong, because) {
				t.Errorf("without %s it is not that %s, but\n%s", what, because, wrong)
			}
			c.unit = whole
			c.heal()
			for _, difference := range differences(files, c.host.Files("/etc")) {
				t.Errorf("with all of it again /etc has changed: %s", difference)
			}
		})
	}
	for _, capability := range confine.Capabilities() {
		unit := whole
		unit.Capabilities = confine.Without(whole.Capabilities, capability)
		without(capability.Name, "operation not permitted", unit)
	}
	for _, mount := range confine.Mounts() {
		unit := whole
		unit.Mounts = confine.Without(whole.Mounts, mount)
		because := "read-only file system"
		if !mount.Writable {
			because = "the host has no Netplan"
		}
		without(mount.Path, because, unit)
	}
}

// heal has an executor do, and take back, what another has left.
func (c *confined) heal() {
	c.Helper()
	c.start()
	defer c.stop()
	c.fleet.SQL("DELETE FROM multi_interface")
	c.fleet.Insert(rows()...)
	c.fleet.AwaitAll()
	if wrong := c.remove(); wrong != "" {
		c.Fatal(wrong)
	}
}

// differences are the lines that are in only one of two lists of files.
func differences(before, after string) []string {
	var found []string
	for line := range strings.Lines(before) {
		if !strings.Contains(after, line) {
			found = append(found, "gone: "+line)
		}
	}
	for line := range strings.Lines(after) {
		if !strings.Contains(before, line) {
			found = append(found, "new: "+line)
		}
	}

	return found
}
