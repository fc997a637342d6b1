package uml_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"multinic.dev/testbed/node"
	"multinic.dev/testbed/sandbox"
	"multinic.dev/testbed/uml"
)

func TestMain(m *testing.M) { uml.Main(m) }

func TestTheKernelInsideHasWhatTheMachinesMayLack(t *testing.T) {
	uml.Run(t, func() {
		n := node.New(t, "node")
		n.PlugIn("eth1", "02:00:00:00:00:01", nil)
		n.IP("link", "set", "eth1", "up")
		n.IP("link", "add", "link", "eth1", "name", "eth1.100", "type", "vlan", "id", "100")
		if got := n.IP("-d", "link", "show", "eth1.100"); !strings.Contains(got, "vlan protocol 802.1Q id 100") {
			t.Errorf("the VLAN's link is %s", got)
		}
		for _, kind := range []string{"dummy", "bond", "bridge"} {
			n.IP("link", "add", "of-kind-"+kind, "type", kind)
		}
		n.IP("link", "add", "link", "eth1", "name", "macvlan0", "type", "macvlan", "mode", "bridge")
		// This kernel is older than 6.2, which began to rename links that are up.
		if _, err := n.TryIP("link", "set", "eth1", "name", "eth2"); err == nil || !strings.Contains(err.Error(), "busy") {
			t.Errorf("a link that is up was renamed: %v", err)
		}
	})
}

func TestTheMachinesFilesAreThereAndCannotBeWritten(t *testing.T) {
	uml.Run(t, func() {
		if _, err := os.Stat("uml_test.go"); err != nil {
			t.Error(err) // The folder is that of the package.
		}
		if err := os.WriteFile(filepath.Join(t.TempDir(), "file"), nil, 0o600); err != nil {
			t.Error(err)
		}
		if err := os.WriteFile("/etc/multinic-was-here", nil, 0o600); err == nil {
			t.Error("a file of the machine was written")
		}
		if got := os.Getenv("GREETING"); got != "hello" {
			t.Errorf("the variable given to Run is %q", got)
		}
	}, "GREETING=hello")
}

// behaviourEnv makes TestAsTold, run in a suite of its own, do something.
const behaviourEnv = "MULTINIC_TEST_BEHAVIOUR"

// behaviours are what a test can do under its own kernel, each with what the suite outside must say of it.
func behaviours() map[string]behaviour {
	return map[string]behaviour{
		"passes": {func(*testing.T) {}, true, []string{"--- PASS: TestAsTold/part"}},
		"fails":  {func(t *testing.T) { t.Helper(); t.Error("as told") }, false, []string{"as told", `was "FAIL"`}},
		"skips":  {func(t *testing.T) { t.Helper(); t.Skip("as told") }, true, []string{"as told", "--- SKIP: TestAsTold/part"}},
		"panics": {func(*testing.T) { panic("as told") }, false, []string{"panic: as told", "ended with code 2"}},
		"exits":  {func(*testing.T) { os.Exit(7) }, false, []string{`was ""`, "ended with code 7"}},
		"talks": {func(*testing.T) {
			for i := range 20_000 {
				fmt.Printf("line %d of many, which are more than any buffer of the kernel's holds\n", i)
			}
		}, true, []string{"uml: line 0 of", "uml: line 19999 of", "uml: --- PASS"}},
		"leaves a process": {func(t *testing.T) {
			t.Helper()
			if err := exec.CommandContext(context.Background(), "sleep", "1000").Start(); err != nil {
				t.Fatal(err)
			}
		}, false, []string{"left behind: process", "ended with code 1"}},
		"waits for ever": {func(*testing.T) { select {} }, false, []string{"panic: test timed out"}},
		"stops": {func(t *testing.T) {
			t.Helper()
			if err := syscall.Kill(os.Getpid(), syscall.SIGSTOP); err != nil {
				t.Fatal(err)
			}
		}, false, []string{"the test has not ended under its own kernel in time"}},
		"crashes the kernel": {func(t *testing.T) {
			t.Helper()
			if err := os.WriteFile("/proc/sysrq-trigger", []byte("c"), 0o600); err != nil {
				t.Fatal(err)
			}
		}, false, []string{"the kernel has ended before the test", "Kernel panic"}},
	}
}

type behaviour struct {
	do     func(t *testing.T)
	passes bool
	said   []string
}

func TestAsTold(t *testing.T) {
	b, told := behaviours()[os.Getenv(behaviourEnv)]
	if !told {
		return
	}
	t.Run("part", func(t *testing.T) { uml.Run(t, func() { b.do(t) }) })
	t.Run("party", func(t *testing.T) {
		if uml.Inside() {
			t.Error("a test that was not asked for runs inside")
		}
	})
}

func TestHowATestEndsInsideIsHowItEndsOutsideAndNothingIsLeft(t *testing.T) {
	inMemory := func() []string {
		files, err := filepath.Glob("/dev/shm/*")
		if err != nil {
			t.Fatal(err)
		}
		return files
	}
	for name, b := range behaviours() {
		t.Run(name, func(t *testing.T) {
			before := inMemory()
			timeout := "1m"
			if name == "stops" || name == "waits for ever" {
				timeout = "30s" // These take all of it.
			}
			out, err := nested(t, []string{behaviourEnv + "=" + name}, "-test.run=^TestAsTold$", "-test.v", "-test.timeout="+timeout)
			if (err == nil) != b.passes {
				t.Errorf("error %v", err)
			}
			for _, said := range b.said {
				if !strings.Contains(out, said) {
					t.Errorf("it does not say %q", said)
				}
			}
			if strings.Contains(out, "\nsandbox: left behind") {
				t.Error("something was left behind outside")
			}
			if after := inMemory(); !slices.Equal(before, after) {
				t.Errorf("in /dev/shm there is %q, and was %q", after, before)
			}
			if t.Failed() {
				t.Logf("%s", out[max(0, len(out)-10_000):])
			}
		})
	}
}

func TestAMachineWithoutUserModeLinuxIsToldWhatToInstall(t *testing.T) {
	out, err := nested(t, []string{behaviourEnv + "=passes", "PATH=/nowhere"}, "-test.run=^TestAsTold$")
	if err == nil || !strings.Contains(out, "install the Debian package user-mode-linux") {
		t.Errorf("error %v:\n%s", err, out)
	}
}

func TestASuiteWhoseTimeIsNearlyUpSaysSo(t *testing.T) {
	out, err := nested(t, []string{behaviourEnv + "=passes"}, "-test.run=^TestAsTold$", "-test.timeout=8s")
	if err == nil || !strings.Contains(out, "too little is left") {
		t.Errorf("error %v:\n%s", err, out)
	}
}

// nested runs this test binary from its outermost stage, in a sandbox of its own.
func nested(t *testing.T, env []string, args ...string) (string, error) {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, exe, args...)
	for _, e := range os.Environ() {
		if !strings.HasPrefix(e, sandbox.StageEnv+"=") {
			cmd.Env = append(cmd.Env, e)
		}
	}
	cmd.Env = append(cmd.Env, env...)
	out, err := cmd.CombinedOutput()
	return string(out), err
}
