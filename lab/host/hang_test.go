package host_test

import (
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"multinic.dev/lab/fleet"
	"multinic.dev/testbed/debian"
	"multinic.dev/testbed/oracle"
	"multinic.dev/testbed/snapshot"
)

// hanging is a generator that hangs when it is called first, with something that it has started, and fails from then on, so that it is
// waited for only once. Neither heeds SIGTERM, and both write down their process ids, as the machine sees them.
const hanging = `#!/bin/sh
[ ! -e /root/pids ] || exit 3
trap '' TERM
sh -c 'echo $$ >>/root/pids; exec sleep infinity' &
echo $$ >>/root/pids
exec sleep infinity
`

// TestANetplanThatHangsIsKilledAndNothingIsDone takes the half minute that the executor gives to Netplan, so one release has to do: what
// is killed, and when, is tested without a host in the executor's own room, on both.
func TestANetplanThatHangsIsKilledAndNothingIsDone(t *testing.T) {
	s := newStage(t, debian.Trixie)
	all := rows()
	s.fleet.Insert(all...)
	s.node.StartExecutor()
	s.fleet.AwaitAll()
	files, kernel := s.host.Files("/etc", "/var/lib/multinic"), s.kernel()
	program := generator(s)
	s.host.MustRun("mv", program, "/root/generate")
	s.host.Write(program, 0o755, hanging)

	s.set(mac(0), "ip_address = '10.1.0.11', netplan_success = 0")
	pids := []int{}
	s.fleet.Until(func() bool { pids = s.hung(); return len(pids) == 2 }, func() string { return "the generator was not called" })
	for _, pid := range pids {
		if syscall.Kill(pid, 0) != nil {
			t.Errorf("the process %d does not hang, so nothing is shown", pid)
		}
	}
	said := ""
	s.fleet.UntilWithin(3*fleet.Patience, func() bool {
		said = s.fleet.Result(nodeName, mac(0))

		return strings.HasPrefix(said, "FAILED")
	}, func() string { return "the node says " + said })
	if want := "has not ended within 30s, and was killed with all that it had started"; !strings.HasPrefix(said, "FAILED PERSIST_FAILED") || !strings.Contains(said, want) {
		t.Errorf("the reason is %q", said)
	}
	for _, pid := range pids {
		if err := syscall.Kill(pid, 0); err == nil {
			t.Errorf("the process %d was left", pid)
		}
	}
	s.fleet.AwaitFlags("0 1")
	s.right(oracle.Expect{}, all...)
	if is := s.host.Files("/etc", "/var/lib/multinic"); is != files {
		t.Errorf("the files were\n%s\nand are\n%s", files, is)
	}
	for _, difference := range snapshot.Differences(kernel, s.kernel()) {
		t.Errorf("the kernel has changed: %s", difference)
	}
	// What is right already does not need Netplan.
	s.set(mac(1), "netplan_success = 0")
	s.fleet.AwaitFlags("0 1")

	s.host.MustRun("mv", "/root/generate", program)
	s.fleet.AwaitAll()
	all[0].Address = "10.1.0.11"
	s.right(oracle.Expect{}, all...)
}

// hung are the processes that hang.
func (s *stage) hung() []int {
	s.Helper()
	text, _ := os.ReadFile(s.host.Path("/root/pids")) // It may not be there yet.
	var pids []int
	for word := range strings.FieldsSeq(string(text)) {
		pid, err := strconv.Atoi(word)
		if err != nil {
			s.Fatal(err)
		}
		pids = append(pids, pid)
	}

	return pids
}
