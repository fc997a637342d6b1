package container_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"multinic.dev/testbed/container"
	"multinic.dev/testbed/debian"
	"multinic.dev/testbed/sandbox"
)

// endEnv tells TestEnd, run in a suite of its own, what it should do that does not come to an end.
const endEnv = "MULTINIC_TEST_END"

// ends are what does not come to an end, each with what must be said of it when the suite's time is over.
var ends = map[string]struct {
	do   func(c *container.Container)
	said []string
}{
	"program": {
		func(c *container.Container) { c.Boot(); c.Run("sleep", "1000") },
		[]string{"in node-1: sleep 1000: it has not ended in time", ": sleep 1000\n", "/lib/systemd/systemd-udevd\n"},
	},
	"output": {
		func(c *container.Container) { c.Boot(); c.Run("sh", "-c", "echo said; sleep 1000 &") },
		[]string{"it has ended, but its output is held by something that it has started", ": sleep 1000\n", "it printed:\n        said\n        in the container ran:\n"},
	},
	"boot": {
		func(c *container.Container) {
			c.Write("/etc/systemd/system/stuck.service", 0o644, "[Service]\nType=oneshot\nExecStart=sleep 1000\n")
			c.Write("/etc/systemd/system/multi-user.target.d/stuck.conf", 0o644, "[Unit]\nWants=stuck.service\n")
			c.Boot()
		},
		[]string{"boot the container node-1: it has not said in time that it has started everything", ": sleep 1000\n"},
	},
	"shutdown": {
		func(c *container.Container) {
			c.Write("/etc/systemd/system/stuck.service", 0o644, "[Service]\nExecStart=sleep 2000\nExecStop=sleep 1000\n")
			c.Boot()
			c.MustRun("systemctl", "start", "stuck")
			c.Shutdown()
		},
		[]string{"shut down the container node-1: it has not ended in time", ": sleep 1000\n"},
	},
	"never": {
		func(c *container.Container) {
			c.Boot()
			_, _ = os.Stdout.WriteString("booted " + os.Getenv("MULTINIC_CONTAINER_GROUP") + "\n")
			select {}
		},
		nil,
	},
}

func TestEnd(t *testing.T) {
	if end, ok := ends[os.Getenv(endEnv)]; ok {
		end.do(container.New(t, debian.Bookworm, "node-1"))
	}
}

// suite is this test binary as a suite of its own, in a sandbox inside this one, with a temporary folder of its own.
func suite(t *testing.T, end string, timeout time.Duration) *exec.Cmd {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), exe, "-test.run=^TestEnd$", "-test.timeout="+timeout.String())
	for _, e := range os.Environ() {
		if !strings.HasPrefix(e, sandbox.StageEnv+"=") {
			cmd.Env = append(cmd.Env, e)
		}
	}
	cmd.Env = append(cmd.Env, endEnv+"="+end, "TMPDIR="+t.TempDir())
	return cmd
}

func TestWhatDoesNotEndInTimeIsNamedBeforeTheSuiteIsOver(t *testing.T) {
	needContainers(t)
	said := map[string]*bytes.Buffer{}
	suites := map[string]*exec.Cmd{}
	for name, end := range ends {
		if end.said == nil {
			continue
		}
		// All at once, as all that they do is wait: ten seconds before its end a suite says what for.
		cmd, out := suite(t, name, 25*time.Second), &bytes.Buffer{}
		cmd.Stdout, cmd.Stderr = out, out
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		suites[name], said[name] = cmd, out
	}
	for name, cmd := range suites {
		err, out := cmd.Wait(), said[name].String()
		if err == nil || strings.Contains(out, "panic") || strings.Contains(out, "left behind") {
			t.Errorf("%s: error %v; it said\n%s", name, err, out)
		}
		for _, want := range ends[name].said {
			if !strings.Contains(out, want) {
				t.Errorf("%s: it did not say %q, but\n%s", name, want, out)
			}
		}
	}
}

func TestASuiteThatIsKilledLeavesNoProcessMountOrControlGroup(t *testing.T) {
	needContainers(t)
	before := machine(t)
	cmd := suite(t, "never", time.Minute)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	group, ok := strings.CutPrefix(strings.TrimSpace(line), "booted ")
	if err != nil || !ok {
		t.Fatalf("it said %q, error %v", line, err)
	}
	if during := machine(t); !strings.Contains(during, "systemd-udevd") || len(groups(group+"/node-1/payload")) == 0 {
		t.Errorf("it has the control groups %q, and there is\n%s", groups(group), during)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, out) // Until nobody has it any more.
	_ = cmd.Wait()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for after, left := "", []string(nil); after != before || len(left) > 0; {
		select {
		case <-tick.C:
			after, left = machine(t), groups(group)
		case <-ctx.Done():
			t.Fatalf("it has left the control groups %q; before it there was\n%sand after it\n%s", left, before, after)
		}
	}
}

// groups are the folders of a control group in all hierarchies.
func groups(path string) []string {
	only, _ := filepath.Glob("/sys/fs/cgroup" + path)
	several, _ := filepath.Glob("/sys/fs/cgroup/*" + path)
	return append(only, several...)
}

// machine lists the processes that this sandbox has, and its mounts.
func machine(t *testing.T) string {
	t.Helper()
	var list strings.Builder
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, file := range stats {
		stat, err := os.ReadFile(file)
		if err != nil || bytes.Contains(stat, []byte(") Z ")) {
			continue // It has ended.
		}
		list.WriteString(string(stat[:bytes.LastIndexByte(stat, ')')]) + "\n")
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	list.Write(mounts)
	return list.String()
}

// needContainers skips a test where no container can be had.
func needContainers(t *testing.T) {
	t.Helper()
	if !sandbox.RealRoot() {
		t.Skip("only root has containers")
	}
	if _, err := debian.Tree(t.Context(), debian.Bookworm); errors.Is(err, debian.ErrNoArchive) {
		t.Skip(err)
	}
}
