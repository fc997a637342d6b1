package statedir_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"multinic.dev/executor/internal/statedir"
	"multinic.dev/testbed/sandbox"
)

func TestMain(m *testing.M) {
	if os.Getenv(squatterEnv) != "" {
		os.Exit(squat())
	}
	sandbox.Main(m)
}

func TestAMissingDirectoryIsMadeForItsOwnerOnly(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lib", "multinic")
	dir, err := statedir.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := dir.Close(); err != nil {
			t.Error(err)
		}
	}()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o700 {
		t.Errorf("its mode is %v", info.Mode())
	}
}

func TestADirectoryBelongsToOneExecutorAtATime(t *testing.T) {
	path := t.TempDir()
	first, err := statedir.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	const want = "another executor is using it: stop that one"
	if _, err := statedir.Open(path); err == nil || err.Error() != want {
		t.Errorf("a second one: %v, want: %s", err, want)
	}
	const elsewhere = "another executor runs on this node, with another state directory: stop that one"
	if _, err := statedir.Open(t.TempDir()); err == nil || err.Error() != elsewhere {
		t.Errorf("a second one with another directory: %v, want: %s", err, elsewhere)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	second, err := statedir.Open(path)
	if err != nil {
		t.Fatalf("after the first has gone: %v", err)
	}
	if err := second.Close(); err != nil {
		t.Error(err)
	}
}

func TestWhatAKilledExecutorWasWritingIsRemoved(t *testing.T) {
	path := t.TempDir()
	for _, name := range []string{".interfaces.json123", ".journal.json4", "interfaces.json", "journal.json"} {
		if err := os.WriteFile(filepath.Join(path, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	dir, err := statedir.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := dir.Close(); err != nil {
		t.Error(err)
	}
	left, err := filepath.Glob(filepath.Join(path, "*.json*"))
	if hidden, _ := filepath.Glob(filepath.Join(path, ".*json*")); err != nil || len(left) != 2 || len(hidden) != 0 {
		t.Errorf("left are %v and %v, %v", left, hidden, err)
	}
}

func TestWhatIsNoDirectoryIsAnError(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := statedir.Open(path); err == nil {
		t.Error("a file was taken for a directory")
	}
}

// squatterEnv makes the test binary take the node's name and hold it until its input ends.
const squatterEnv = "MULTINIC_SQUATTER"

func squat() int {
	if _, err := (&net.ListenConfig{}).Listen(context.Background(), "unix", "@multinic-executor"); err != nil {
		return 1
	}
	if _, err := os.Stdout.WriteString("ready\n"); err != nil {
		return 1
	}
	_, _ = io.Copy(io.Discard, os.Stdin)

	return 0
}

// TestNobodyWithoutRightsKeepsTheNodeFromItsExecutor has an ordinary user's process take the name that executors take.
func TestNobodyWithoutRightsKeepsTheNodeFromItsExecutor(t *testing.T) {
	for user, refused := range map[uint32]bool{65534: false, 0: true} {
		t.Run(fmt.Sprint("user ", user), func(t *testing.T) {
			squatter := exec.CommandContext(t.Context(), "/proc/self/exe")
			squatter.Env = append(os.Environ(), squatterEnv+"=1")
			squatter.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: user, Gid: user}}
			in, err := squatter.StdinPipe()
			if err != nil {
				t.Fatal(err)
			}
			out, err := squatter.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := squatter.Start(); err != nil {
				t.Fatal(err)
			}
			if said, _ := bufio.NewReader(out).ReadString('\n'); said != "ready\n" {
				t.Fatalf("the squatter said %q", said)
			}
			dir, err := statedir.Open(t.TempDir())
			if (err != nil) != refused {
				t.Errorf("opened with %v", err)
			}
			if err == nil {
				if err := dir.Close(); err != nil {
					t.Error(err)
				}
			}
			if err := in.Close(); err != nil {
				t.Error(err)
			}
			if err := squatter.Wait(); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestADirectoryThatMustBeThereIsNotMade(t *testing.T) {
	path := filepath.Join(t.TempDir(), "elsewhere")
	if _, err := statedir.OpenExisting(path); err == nil {
		t.Error("it was opened")
	}
	if _, err := os.Stat(path); err == nil {
		t.Error("it was made")
	}
}
