package vm_test

import (
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"

	"multinic.dev/lab/fleet"
	"multinic.dev/testbed/oracle"
)

// failure is a way in which a change of the first card must fail.
type failure struct {
	what string
	// begin, midway and end are what somebody does in the guest: before anything is changed, while the executor is changing it, and once
	// all is undone, so that it can be done.
	begin, midway, end string
	// address is what the first card should get; empty: one that it could have.
	address string
	// want is what the result begins with, and says what else is in it.
	want, says string
	// both says that the other card, which changes as well, fails with it.
	both bool
}

// failures are by what a host's tools, disk and network can fail; generator is where it has netplan's. Those of VLANs are tested beside
// them.
func failures(generator string) []failure {
	away, back := "mv "+generator+" /root/generate", "mv /root/generate "+generator
	instead := func(script string) string {
		return away + "\ncat >" + generator + " <<'END'\n#!/bin/sh\n" + script + "\nEND\nchmod 755 " + generator
	}

	return []failure{
		{what: "the address is in use on the wire", address: "10.1.0.99", want: "FAILED ADDRESS_IN_USE"},
		{
			what: "netplan refuses the host's other files", begin: "echo 'network: [' >/etc/netplan/60-other.yaml", end: "rm /etc/netplan/60-other.yaml",
			want: "FAILED PERSIST_FAILED", says: "60-other.yaml", both: true,
		},
		{what: "netplan is missing", begin: away, end: back, want: "FAILED PERSIST_FAILED", says: "no such file", both: true},
		{what: "netplan is killed", begin: instead("kill -9 $$"), end: back, want: "FAILED PERSIST_FAILED", says: "signal: killed", both: true},
		{
			what: "netplan hangs", begin: instead("test ! -e /run/hung || exit 3\ntouch /run/hung\nexec sleep infinity"), end: back,
			want: "FAILED PERSIST_FAILED", says: "has not ended within 30s", both: true,
		},
		{
			what: "/etc cannot be written", begin: "mount --bind /etc /etc\nmount -o remount,bind,ro /etc", end: "umount --lazy /etc",
			want: "FAILED PERSIST_FAILED", says: "read-only file system", both: true,
		},
		{what: "the disk is full", begin: `
at=0
fill() { while fallocate -o $at -l $1 /root/fill 2>/dev/null; do at=$((at + $1)); done; }
for size in 1073741824 67108864 4194304 262144 16384 4096; do fill $size; done`, end: "rm /root/fill", want: "FAILED PERSIST_FAILED", says: "no space left on device", both: true},
		{
			what: "the node's own address is lost meanwhile", midway: "ip address delete 192.0.2.5/24 dev eth0",
			end: "ip address add 192.0.2.5/24 dev eth0\nip route replace default via 192.0.2.1 dev eth0 proto static", want: "FAILED UNDERLAY_LOST", both: true,
		},
		{
			what: "the way to the gateway is led elsewhere meanwhile", midway: "ip route add 192.0.2.1/32 dev lo", end: "ip route delete 192.0.2.1/32 dev lo",
			want: "FAILED PATH_CHANGED", both: true,
		},
		{
			what: "the row would take the way to the resolver", address: "203.0.113.77", want: "REFUSED SUBNET_CONFLICT", says: "203.0.113.53",
		},
	}
}

// TestWhateverFailsIsUndoneWithoutAHuman has both cards of a host change, the first of them, and by what is the host's both, into what
// cannot be: the files are then byte for byte what they were, and so is the kernel, the reason says why, and the other card is what it
// should be.
func TestWhateverFailsIsUndoneWithoutAHuman(t *testing.T) {
	t.Parallel()
	onBothByBoth(t, setup{cards: 2}, func(t *testing.T, h *host) {
		t.Helper()
		h.node.Write("/etc/resolv.conf", 0o644, "nameserver 203.0.113.53\n")
		rows := h.twoRows()
		h.wire.AddHost(h.name("neighbour"), "10.1.0.99/24")
		for _, f := range failures(h.generator()) {
			t.Run(f.what, func(t *testing.T) { h.fails(t, f, rows) })
		}
	})
}

// twoRows has the executor make rows of both cards.
func (h *host) twoRows() []fleet.Row {
	h.Helper()
	rows := []fleet.Row{
		{Node: nodeName, MAC: mac(0), Address: "10.1.0.10", Mask: "24"},
		{Node: nodeName, MAC: mac(1), Address: "10.2.0.10", Mask: "24", Gateway: "10.2.0.1"},
	}
	h.fleet.Insert(rows...)
	h.node.StartExecutor()
	h.fleet.AwaitAll()

	return rows
}

// fails has a change fail in a way, and be undone, and then be done after all.
func (h *host) fails(t *testing.T, f failure, rows []fleet.Row) {
	t.Helper()
	address := f.address
	if address == "" {
		address = "10.1.0.11"
	}
	h.node.MustRun("sh", "-ec", f.begin)
	files := h.contents(!f.both)
	done := h.midway(f.midway)
	h.change(address, "10.2.0.11")
	done()

	said := h.fleet.AwaitResult(nodeName, mac(0), f.want)
	h.signal(syscall.SIGSTOP) // It would try again soon.
	if !strings.Contains(said, f.says) {
		t.Errorf("the reason is %q", said)
	}
	want, flags := slices.Clone(rows), "0 0"
	if !f.both {
		want[1].Address, flags = "10.2.0.11", "0 1"
	}
	h.fleet.AwaitFlags(flags)
	h.right("undone", oracle.Expect{}, want...)
	if is := h.contents(!f.both); is != files {
		t.Errorf("the files were\n%s\nand are\n%s", files, is)
	}

	h.node.MustRun("sh", "-ec", f.end)
	h.signal(syscall.SIGCONT)
	if f.address == "" { // It can be done now.
		want[0].Address, want[1].Address = address, "10.2.0.11"
		h.fleet.AwaitSession(nodeName)
		h.fleet.Retry(nodeName)
		h.fleet.AwaitAll()
		h.right("done after all", oracle.Expect{}, want...)
	}
	h.change(rows[0].Address, rows[1].Address)
	h.fleet.AwaitAll()
	h.right("in the end", oracle.Expect{}, rows...)
}

// TestNothingIsUndoneForWhatIsNoFault has the dispatcher restarted in the middle of a change, and networkd killed, stopped, and hang: the
// change is made all the same, at once.
func TestNothingIsUndoneForWhatIsNoFault(t *testing.T) {
	t.Parallel()
	onBothByBoth(t, setup{cards: 2}, func(t *testing.T, h *host) {
		t.Helper()
		rows := h.twoRows()
		for number, test := range []struct {
			what, begin, midway, end string
			dispatcher               bool
			// late is whether networkd may do something of its own after the change, which is then repaired.
			late bool
		}{
			{what: "the dispatcher is restarted", midway: "true", dispatcher: true},
			{what: "networkd is killed", midway: "systemctl kill --signal=KILL " + networkd, end: "systemctl restart " + networkd, late: true},
			{what: "networkd is stopped", begin: "systemctl stop systemd-networkd.socket " + networkd, end: "systemctl start " + networkd},
			{what: "networkd hangs", begin: "systemctl kill --signal=STOP " + networkd, end: "systemctl kill --signal=CONT " + networkd},
		} {
			t.Run(test.what, func(t *testing.T) {
				rows[0].Address, rows[1].Address = fmt.Sprintf("10.1.0.%d", 20+number), fmt.Sprintf("10.2.0.%d", 20+number)
				h.node.MustRun("sh", "-ec", test.begin)
				done := h.midway(test.midway)
				h.change(rows[0].Address, rows[1].Address)
				done()
				if test.dispatcher {
					if err := h.fleet.Dispatcher.Kill(); err != nil {
						t.Fatal(err)
					}
					finished := func() int { return strings.Count(h.node.Executor.Log(), `"apply finished"`) }
					h.fleet.Until(func() bool { return finished() == 4 }, func() string { return h.node.Executor.Log() })
					h.startDispatcher()
				}
				h.fleet.AwaitAll()
				if test.late { // systemd has started it again, maybe with the files from before the change.
					h.await("done all the same", rows...)
				} else {
					h.right("done all the same", oracle.Expect{}, rows...)
				}
				if log := h.node.Executor.Log(); strings.Contains(log, "roll") {
					t.Errorf("something was put back:\n%s", log)
				}
				h.node.MustRun("sh", "-ec", test.end)
				h.node.Configured("eth0")
				h.await("with networkd back", rows...)
				h.fleet.AwaitAll()
			})
		}
	})
}

// await waits until the kernel is what rows say, whoever of the executor and networkd makes it so.
func (h *host) await(when string, rows ...fleet.Row) {
	h.Helper()
	wrong := "not looked at"
	h.fleet.Until(func() bool {
		wrong = h.node.Judge(oracle.Expect{ByManager: true}, rows...)

		return wrong == ""
	}, func() string { return when + ": the kernel:\n" + wrong })
}

// change has both cards be given other addresses, in one picture.
func (h *host) change(first, second string) {
	h.Helper()
	h.fleet.SQL(fmt.Sprintf("UPDATE multi_interface SET ip_address = CASE mac_address WHEN '%s' THEN '%s' ELSE '%s' END, netplan_success = 0", mac(0), first, second))
}

// contents are those of all files in /etc, but for the second card's if that changes.
func (h *host) contents(butSecond bool) string {
	h.Helper()
	but := "cat"
	if butSecond {
		but = "grep -v multinic1"
	}

	return h.node.MustRun("sh", "-ec", `cd /etc
{ find . -type l -printf '%p -> %l\n'; find . -type f -print0 | xargs -0 sha256sum; } | sort | `+but)
}

// midway has a command run as soon as the executor is changing something, and the result waits until that was done; without a command
// nothing is.
func (h *host) midway(command string) (done func()) {
	h.Helper()
	if command == "" {
		return func() {}
	}
	meanwhile := h.node.Spawn("sh", "-ec", "until test -e /var/lib/multinic/journal.json; do sleep 0.01; done\n"+command)

	return func() {
		h.Helper()
		if code, err := meanwhile.Wait(patience); code != 0 || err != nil {
			h.Fatalf("nothing was done in the middle of a change: code %d, error %v: %s", code, err, meanwhile.Log())
		}
	}
}

// signal sends the executor a signal.
func (h *host) signal(signal syscall.Signal) {
	h.Helper()
	if err := h.node.Executor.Signal(signal); err != nil {
		h.Fatal(err)
	}
}
