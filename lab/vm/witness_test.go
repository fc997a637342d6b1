package vm_test

import (
	"strconv"
	"strings"

	"multinic.dev/testbed/vm"
)

// witness sees from outside of the executor how often it has begun a transaction, and how often somebody has networkd read its files.
type witness struct {
	h *host

	journal, bus *vm.Program
	marks        int
	// transactions and reloads are those that were told of already.
	transactions, reloads int
}

// journals prints the name of each file that takes its place in the state directory: the journal does so once a transaction.
const journals = `
import ctypes, os, struct
MOVED_TO = 0x80
libc = ctypes.CDLL(None)
inotify = libc.inotify_init()
assert libc.inotify_add_watch(inotify, b"/var/lib/multinic", MOVED_TO) >= 0
print("watching", flush=True)
while True:
    events = os.read(inotify, 65536)
    while events:
        length, = struct.unpack_from("I", events, 12)
        print(events[16:16 + length].rstrip(b"\0").decode(), flush=True)
        events = events[16 + length:]
`

// witness begins to look. The executor must have made its state directory.
func (h *host) witness() *witness {
	h.Helper()
	w := &witness{h: h, journal: h.node.Spawn("python3", "-c", journals),
		bus: h.node.Spawn("busctl", "monitor", "--match=type='method_call',interface='org.freedesktop.network1.Manager'")}
	for program, word := range map[*vm.Program]string{w.journal: "watching\n", w.bus: "Monitoring"} {
		h.fleet.Until(func() bool { return strings.Contains(program.Log(), word) }, func() string { return "the witness says " + program.Log() })
	}

	return w
}

// since is how many transactions were begun, and how often networkd was told, since it was asked last. What is known to have happened
// now is seen, so that none means silence, not deafness.
func (w *witness) since() (transactions, reloads int) {
	w.h.Helper()
	w.marks++
	mark := "mark" + strconv.Itoa(w.marks)
	w.h.node.MustRun("sh", "-ec", "cd /var/lib/multinic; : >.x; mv .x "+mark+"; rm "+mark)
	w.h.node.MustRun("busctl", "call", "org.freedesktop.network1", "/org/freedesktop/network1", "org.freedesktop.network1.Manager", "ListLinks")
	w.h.fleet.Until(func() bool {
		return strings.Contains(w.journal.Log(), mark+"\n") && strings.Count(w.bus.Log(), "Member=ListLinks") == w.marks
	}, func() string { return "the witness has not seen its mark: " + w.journal.Log() + w.bus.Log() })
	all, told := strings.Count(w.journal.Log(), "journal.json\n"), strings.Count(w.bus.Log(), "Member=Reload")
	transactions, reloads = all-w.transactions, told-w.reloads
	w.transactions, w.reloads = all, told

	return transactions, reloads
}

// wantReloads says that networkd was told once since it was asked last, where it is told at all, and returns how many transactions
// there were.
func (w *witness) wantReloads(when string) (transactions int) {
	w.h.Helper()
	want := 0
	if w.h.byManager {
		want = 1
	}
	transactions, reloads := w.since()
	if reloads != want {
		w.h.Errorf("%s: networkd was told %d times, want %d", when, reloads, want)
	}

	return transactions
}
