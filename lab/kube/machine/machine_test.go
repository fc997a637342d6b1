package machine_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"multinic.dev/lab/kube/machine"
	"multinic.dev/testbed/node"
	"multinic.dev/testbed/sandbox"
)

func TestMain(m *testing.M) {
	machine.Keeper()
	sandbox.Main(m)
}

func TestAMachineHasItsOwnNameProcessesAndLinks(t *testing.T) {
	network := node.New(t, "node-a")
	network.PlugIn("eth0", "02:00:5e:10:00:01", nil)
	m := machine.Start(t, network, machine.Disk{Name: "node-a"})

	if got := strings.TrimSpace(m.MustRun("hostname")); got != "node-a" {
		t.Errorf("the host name inside is %q", got)
	}
	if got := strings.Fields(m.MustRun("ls", "/sys/class/net")); strings.Join(got, " ") != "eth0 lo" {
		t.Errorf("the links inside are %v", got)
	}
	// The keeper, and who looks.
	if got := strings.Fields(m.MustRun("sh", "-c", "echo /proc/[0-9]*")); len(got) != 2 || got[0] != "/proc/1" {
		t.Errorf("the processes inside are %v", got)
	}
}

func TestNothingThatIsWrittenOnAMachineIsSeenOutside(t *testing.T) {
	m := machine.Start(t, node.New(t, "node-a"), machine.Disk{Name: "node-a", Files: map[string][]byte{"/etc/given": []byte("given\n")}})

	if got := m.MustRun("cat", "/etc/given"); got != "given\n" {
		t.Errorf("a file of the disk has %q", got)
	}
	for _, folder := range []string{"/etc", "/root", "/tmp", "/var/lib", "/run", "/opt"} {
		path := filepath.Join(folder, "multinic-written-inside")
		m.MustRun("sh", "-c", "echo inside >"+path)
		if _, err := os.Stat(path); !os.IsNotExist(err) {
			t.Errorf("%s was written inside, and is seen outside: %v", path, err)
		}
		// The control: it was written, and this is where.
		if text, err := os.ReadFile(m.Outside(path)); err != nil || string(text) != "inside\n" {
			t.Errorf("%s was not written inside: %q, %v", path, text, err)
		}
	}
	for _, path := range []string{"/usr/multinic-written-inside", "/etc/passwd"} {
		if out, err := m.Command(t.Context(), "sh", "-c", "echo inside >>"+path).CombinedOutput(); err == nil {
			t.Errorf("%s can be written to inside: %s", path, out)
		}
	}
	if out, err := m.Command(t.Context(), "ls", "/dev/vda", "/dev/sda", "/dev/mem", t.TempDir()).Output(); err == nil || len(out) > 0 {
		t.Errorf("inside there is of the machine outside: %s", out)
	}
}

func TestASettingOfTheKernelIsTheMachinesOwn(t *testing.T) {
	const setting = "/proc/sys/vm/overcommit_memory"
	before, err := os.ReadFile(setting)
	if err != nil {
		t.Fatal(err)
	}
	const other = "7" // No kernel has it.
	m := machine.Start(t, node.New(t, "node-a"), machine.Disk{Name: "node-a", Settings: map[string]string{"vm/overcommit_memory": other}})
	without := machine.Start(t, node.New(t, "node-b"), machine.Disk{Name: "node-b"})

	if got := strings.TrimSpace(m.MustRun("cat", setting)); got != other {
		t.Errorf("inside the setting is %s", got)
	}
	m.MustRun("sh", "-c", "echo 8 >"+setting)
	if after, err := os.ReadFile(setting); err != nil || string(after) != string(before) {
		t.Errorf("outside the setting was %s and is %s, %v", before, after, err)
	}
	// The control: a machine without a value of its own sees the kernel's.
	if got := without.MustRun("cat", setting); got != string(before) {
		t.Errorf("inside, without a value of its own, the setting is %s", got)
	}
}

func TestARestartLeavesWhatIsKeptAndNothingElse(t *testing.T) {
	network := node.New(t, "node-a")
	network.PlugIn("eth0", "02:00:5e:10:00:01", nil)
	m := machine.Start(t, network, machine.Disk{Name: "node-a", Files: map[string][]byte{"/etc/given": []byte("given\n")}, Kept: []string{"/var/lib"}})
	const bootID = "/proc/sys/kernel/random/boot_id"
	id, boot := m.MustRun("cat", "/etc/machine-id"), m.MustRun("cat", bootID)
	m.MustRun("sh", "-c", "echo kept >/var/lib/kept; echo lost >/run/lost; echo other >/etc/given; ip link set eth0 name eth7")
	m.Serve("a service", "sleep", "86400")

	m.Restart()
	if got := m.MustRun("cat", "/var/lib/kept", "/etc/given"); got != "kept\ngiven\n" {
		t.Errorf("the files have %q", got)
	}
	if out, err := m.Command(t.Context(), "ls", "/run/lost").Output(); err == nil {
		t.Errorf("what was not kept is there: %s", out)
	}
	if got := m.MustRun("cat", "/etc/machine-id"); got != id {
		t.Errorf("the machine's id was %s and is %s", id, got)
	}
	if got := m.MustRun("cat", bootID); got == boot {
		t.Errorf("the boot has the id of the one before, %s", got)
	}
	if got := strings.Fields(m.MustRun("ls", "/sys/class/net")); strings.Join(got, " ") != "eth0 lo" {
		t.Errorf("the links are %v", got)
	}
	if got := strings.Fields(m.MustRun("sh", "-c", "echo /proc/[0-9]*")); len(got) != 2 {
		t.Errorf("the processes are %v", got)
	}
}

// That nothing of either daemon is left is what the sandbox says in the end: it fails a suite that leaves a process behind.
func TestAMachineEndsWithAllThatRunsOnIt(t *testing.T) {
	m := machine.Start(t, node.New(t, "node-a"), machine.Disk{Name: "node-a"})
	m.Serve("a service", "sh", "-c", "sleep 86400; echo never")
	pid := strings.TrimSpace(m.MustRun("sh", "-c", "setsid sleep 86400 >/dev/null 2>&1 & echo $!"))
	if _, err := os.Stat(m.Outside("/proc/" + pid)); err != nil {
		t.Errorf("a daemon that has lost its parent does not run: %v", err)
	}
}
