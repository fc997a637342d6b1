package netplan

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"multinic.dev/executor/internal/plan"
	"multinic.dev/testbed/container"
)

// hanging is a generator that is the host's own, until it is called for the last time: then it hangs, and so does what it has started.
// Neither heeds SIGTERM, and both have their output open. Each writes down its process id.
const hanging = `#!/bin/sh
echo x >>/root/calls
if [ "$(wc -l </root/calls)" -lt %d ]; then exec /root/generate "$@"; fi
trap '' TERM
sh -c 'echo $$ >>/root/pids; exec sleep infinity' &
echo $$ >>/root/pids
exec sleep infinity
`

// hang replaces the generator of a host by one that hangs when it is called for the given time, and returns what undoes that.
func hang(t *testing.T, disk *container.Container, h *Host, call int) (heal func()) {
	t.Helper()
	must(t, os.Rename(disk.Path(h.generator), disk.Path("/root/generate")))
	disk.Write(h.generator, 0o755, fmt.Sprintf(hanging, call))
	return func() {
		must(t, os.Rename(disk.Path("/root/generate"), disk.Path(h.generator)))
		must(t, os.Remove(disk.Path("/root/calls")))
		must(t, os.Remove(disk.Path("/root/pids")))
	}
}

// TestAGeneratorThatHangsEndsWithAllThatItHasStarted whenever it is called: where it checks, nothing is changed; where it proves, what
// was can be had back.
func TestAGeneratorThatHangsEndsWithAllThatItHasStarted(t *testing.T) {
	onBoth(t, func(t *testing.T, disk *container.Container, h *Host) {
		t.Helper()
		was, wanted := []plan.Config{trunk("10.1.0.10/24")}, []plan.Config{trunk("10.1.0.11/24")}
		must(t, persist(t, h, was))
		must(t, h.Sweep())
		files, boot := disk.Files("/etc", "/run"), nextBoot(t, disk, h)
		const alone, together, proof = 1, 2, 3 // The host's other files; with ours; what was persisted.
		for _, call := range []int{alone, together, proof} {
			heal := hang(t, disk, h, call)
			h.patience = 500 * time.Millisecond
			began := time.Now()
			err := persist(t, h, wanted)
			if err == nil || !strings.Contains(err.Error(), h.generator+" has not ended within 500ms, and was killed with all that it had started") {
				t.Errorf("in call %d: %v", call, err)
			}
			if took := time.Since(began); took > 10*time.Second {
				t.Errorf("in call %d it took %v", call, took)
			}
			for _, pid := range pids(t, disk) {
				if err := syscall.Kill(pid, 0); err == nil {
					t.Errorf("in call %d: the process %d was left: %s", call, pid, command(pid))
				}
			}
			heal()
			h.patience = patience
			if call == proof {
				must(t, h.Persist(t.Context(), was, nil))
				must(t, h.Sweep())
				if is := nextBoot(t, disk, h); is != boot {
					t.Errorf("in call %d and put back: the next boot made\n%s\nand makes\n%s", call, boot, is)
				}
			} else if is := disk.Files("/etc", "/run"); is != files {
				t.Errorf("in call %d: the files were\n%s\nand are\n%s", call, files, is)
			}
		}
		must(t, persist(t, h, wanted)) // The control.
	})
}

// pids are the ids of the processes that hang: two.
func pids(t *testing.T, disk *container.Container) []int {
	t.Helper()
	text, err := os.ReadFile(disk.Path("/root/pids"))
	must(t, err)
	var found []int
	for word := range strings.FieldsSeq(string(text)) {
		pid, err := strconv.Atoi(word)
		must(t, err)
		found = append(found, pid)
	}
	if len(found) != 2 {
		t.Fatalf("%d processes hang, not two: nothing is shown", len(found))
	}
	return found
}

// command says what a process is.
func command(pid int) string {
	text, _ := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "comm"))
	return strings.TrimSpace(string(text))
}

// TestANetplanThatFailsDoesNotKeepTheKernelFromBeingRead though it cannot say which NICs are others'. One that hangs is not asked again at
// each look, until it has answered a check.
func TestANetplanThatFailsDoesNotKeepTheKernelFromBeingRead(t *testing.T) {
	onBoth(t, func(t *testing.T, disk *container.Container, h *Host) {
		t.Helper()
		look := func(what string, want int) {
			t.Helper()
			var kernel plan.Kernel
			must(t, h.Surroundings(t.Context(), &kernel))
			found := slices.DeleteFunc(slices.Clone(kernel.Definitions), func(d plan.Definition) bool { return !strings.HasPrefix(d.File, "/etc/netplan/") })
			if len(found) != want {
				t.Errorf("%s: %+v", what, found)
			}
		}
		look("as it should be", 1)
		disk.Write("/etc/netplan/60-other.yaml", 0o600, "network: [")
		look("it refuses the host's files", 0)
		must(t, os.Remove(disk.Path("/etc/netplan/60-other.yaml")))
		heal := hang(t, disk, h, 1)
		h.patience = 500 * time.Millisecond
		look("it hangs, and nothing has changed since it was asked", 1)
		disk.Write("/etc/netplan/61-more.yaml", 0o600, "network: {ethernets: {eth7: {dhcp4: true}}}\n")
		look("it hangs", 0)
		calls, err := os.ReadFile(disk.Path("/root/calls"))
		must(t, err)
		look("it hung", 0)
		if again, _ := os.ReadFile(disk.Path("/root/calls")); string(again) != string(calls) {
			t.Errorf("it was asked again: %q", again)
		}
		heal()
		h.patience = patience
		must(t, persist(t, h, []plan.Config{trunk("10.1.0.10/24")}))
		look("it has answered", 2)
	})
}
