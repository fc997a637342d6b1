package sandbox_test

import (
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"multinic.dev/testbed/sandbox"
)

func TestMain(m *testing.M) { sandbox.MainWith(m, []sandbox.Fixture{outside}) }

const (
	// madeEnv has the network namespace in which the fixture outside was made, and endEnv the file that gets the one in
	// which it was ended.
	madeEnv = "MULTINIC_TEST_MADE"
	endEnv  = "MULTINIC_TEST_ENDED"
)

func outside() (end func() error, err error) {
	network, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		return nil, err
	}
	return func() error {
		if file := os.Getenv(endEnv); file != "" {
			return os.WriteFile(file, []byte(network), 0o600)
		}
		return nil
	}, os.Setenv(madeEnv, network)
}

func TestWhatIsOutsideIsMadeAndEndedThereAlsoIfTheSuiteFails(t *testing.T) {
	own, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	if made := os.Getenv(madeEnv); made == "" || made == own {
		t.Errorf("it was made in the network namespace %q, and the suite is in %s", made, own)
	}
	ended := filepath.Join(t.TempDir(), "ended")
	if out, err := nested(t, endEnv+"="+ended, "-test.run=["); err == nil {
		t.Errorf("a suite that cannot run passed:\n%s", out)
	}
	if got, err := os.ReadFile(ended); err != nil || string(got) != own {
		t.Errorf("it was ended in the network namespace %q, error %v; the suite was started in %s", got, err, own)
	}
}

// leakEnv makes TestLeak, run in a sandbox inside this one, leave something behind.
const leakEnv = "MULTINIC_TEST_LEAK"

// leaks are the things that a suite can leave behind, each with what the sandbox must say of it.
var leaks = []struct {
	name string
	leak func(t *testing.T)
	said string
}{
	{"nothing", func(*testing.T) {}, ""},
	{"goroutine", func(*testing.T) { go func() { select {} }() }, "found unexpected goroutines"},
	{"process", func(t *testing.T) {
		t.Helper()
		if err := exec.CommandContext(context.Background(), "sleep", "1000").Start(); err != nil {
			t.Fatal(err)
		}
	}, "sleep 1000"},
	{"file", func(t *testing.T) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(os.TempDir(), "forgotten"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}, "/forgotten"},
	{"namespace", func(t *testing.T) {
		t.Helper()
		if err := os.WriteFile("/run/ns", nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := syscall.Mount("/proc/self/ns/net", "/run/ns", "", syscall.MS_BIND, ""); err != nil {
			t.Fatal(err)
		}
	}, "network namespace /run/ns"},
	{"lock", func(t *testing.T) {
		t.Helper()
		f, err := os.OpenFile("/run/lock-file", os.O_CREATE|os.O_RDWR, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
			t.Fatal(err)
		}
		held = f
	}, "file lock"},
}

// held keeps the locked file of the leak named lock from being collected.
var held *os.File

func TestLeak(t *testing.T) {
	for _, l := range leaks {
		if l.name == os.Getenv(leakEnv) {
			l.leak(t)
		}
	}
}

func TestWhatASuiteLeavesBehindFailsItAndIsNamed(t *testing.T) {
	for _, l := range leaks {
		t.Run(l.name, func(t *testing.T) {
			out, err := nested(t, leakEnv+"="+l.name, "-test.run=^TestLeak$")
			if l.said == "" {
				if err != nil {
					t.Errorf("a clean suite failed: %v\n%s", err, out)
				}
				return
			}
			if err == nil || !strings.Contains(out, "sandbox: left behind: ") || !strings.Contains(out, l.said) {
				t.Errorf("error %v, output lacks %q:\n%s", err, l.said, out)
			}
		})
	}
}

// nested runs this test binary from its outermost stage, in a sandbox of its own.
func nested(t *testing.T, env string, args ...string) (string, error) {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), exe, args...)
	for _, e := range os.Environ() {
		if !strings.HasPrefix(e, "MULTINIC_SANDBOX_STAGE=") {
			cmd.Env = append(cmd.Env, e)
		}
	}
	cmd.Env = append(cmd.Env, env)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func TestTheCodeOfAFailingSuiteIsPassedOn(t *testing.T) {
	out, err := nested(t, leakEnv+"=", "-test.run=[")
	if err == nil {
		t.Errorf("a suite that cannot run passed:\n%s", out)
	}
}

func TestTheSandboxHasNoLinkButALoopbackThatIsUp(t *testing.T) {
	links, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	for _, link := range links {
		if link.Name == "lo" && link.Flags&net.FlagUp == 0 {
			t.Error("lo is down")
		}
		if link.HardwareAddr != nil {
			t.Errorf("a link from outside is here: %s", link.Name)
		}
	}
	if os.Geteuid() != 0 {
		t.Errorf("the sandbox runs as user %d", os.Geteuid())
	}
}
