package group_test

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"multinic.dev/lab/kube/group"
	"multinic.dev/testbed/sandbox"
)

// killedEnv has, in a suite that is to be killed, the file into which it writes what it has made.
const killedEnv = "MULTINIC_TEST_KILLED"

func TestMain(m *testing.M) {
	group.Caretaker()
	if os.Getenv(killedEnv) != "" {
		os.Exit(m.Run())
	}
	sandbox.MainWith(m, []sandbox.Fixture{group.Suite})
}

// TestASuiteThatIsKilledLeavesNoGroup kills a suite that has a group, with a process of its own in it, and a folder.
func TestASuiteThatIsKilledLeavesNoGroup(t *testing.T) {
	if !sandbox.RealRoot() {
		t.Skip("control groups need root of the machine: run this test as root (with sudo)")
	}
	made := filepath.Join(t.TempDir(), "made")
	suite := exec.CommandContext(t.Context(), "/proc/self/exe", "-test.run=^TestBeKilled$")
	suite.Env = append(os.Environ(), killedEnv+"="+made)
	if _, err := suite.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := suite.Start(); err != nil {
		t.Fatal(err)
	}
	var left []string
	waitFor(t, "the suite to have made its group", func() bool {
		text, err := os.ReadFile(made)
		left = strings.Fields(string(text))
		return err == nil && strings.HasSuffix(string(text), "\n")
	})
	if len(left) < 2 {
		t.Fatalf("the suite has made %v", left)
	}
	for _, path := range left {
		if _, err := os.Stat(path); err != nil {
			t.Errorf("the control: what is to go is there: %v", err)
		}
	}
	if err := suite.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = suite.Wait() // It was killed.
	for _, path := range left {
		waitFor(t, path+" to be gone", func() bool {
			_, err := os.Stat(path)
			return os.IsNotExist(err)
		})
	}
}

// TestBeKilled is the suite that the test above kills.
func TestBeKilled(t *testing.T) {
	made := os.Getenv(killedEnv)
	if made == "" {
		t.Skip("it is for the test that kills it")
	}
	if _, err := group.Suite(); err != nil {
		t.Fatal(err)
	}
	path, err := group.For("node-a")
	if err != nil {
		t.Fatal(err)
	}
	found, err := filepath.Glob("/sys/fs/cgroup/*" + path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat("/sys/fs/cgroup" + path); err == nil {
		found = append(found, "/sys/fs/cgroup"+path)
	}
	text := strings.Join(append(found, os.Getenv("TMPDIR")), "\n") + "\n"
	if err := errors.Join(os.WriteFile(made+".new", []byte(text), 0o600), os.Rename(made+".new", made)); err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, os.Stdin) // Until it is killed: nobody ends what it reads.
}

func waitFor(t *testing.T, what string, done func() bool) {
	t.Helper()
	deadline := time.NewTimer(time.Minute)
	defer deadline.Stop()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatalf("waited in vain for %s", what)
		}
	}
}
