package main

import (
	"bufio"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"multinic.dev/testbed/sandbox"
)

func TestMain(m *testing.M) { sandbox.Main(m) }

func TestAFailureOnStageIsAnErrorAndTheStageIsCleared(t *testing.T) {
	var order []string
	err := play(func(s *stage) error {
		s.Cleanup(func() { order = append(order, "first") })
		s.Cleanup(func() { s.Fatalf("cleanup %d", 1) })
		s.Cleanup(func() { order = append(order, "last") })
		s.Fatalf("scene %d", 1)
		return nil
	})
	if got := strings.Join(order, " "); got != "last first" || err == nil || err.Error() != "scene 1\ncleanup 1" {
		t.Errorf("cleaned up %s, error %v", got, err)
	}
}

// built builds the demo and both programs into a folder.
func built(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for name, module := range map[string]string{"multinic-demo": "../demo", "multinic-dispatcher": "../../dispatcher", "multinic-executor": "../../executor"} {
		build := exec.CommandContext(t.Context(), "go", "build", "-buildvcs=false", "-o", filepath.Join(dir, name), ".")
		build.Dir = module
		if said, err := build.CombinedOutput(); err != nil {
			t.Fatalf("build %s: %v: %s", name, err, said)
		}
	}
	return dir
}

// outside is a command as somebody runs it who is in no sandbox.
func outside(t *testing.T, path string, environment ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), path)
	for _, one := range os.Environ() {
		if !strings.HasPrefix(one, "MULTINIC_SANDBOX_STAGE=") && !strings.HasPrefix(one, keepEnv+"=") {
			cmd.Env = append(cmd.Env, one)
		}
	}
	cmd.Env = append(cmd.Env, environment...)
	return cmd
}

// endless is a demo that never comes to its end, made of one that does: its dispatcher looks at the table once, before there is
// anything in it.
func endless(t *testing.T, dir string) string {
	t.Helper()
	made := t.TempDir()
	for _, name := range []string{"multinic-demo", "multinic-executor"} {
		// The demo looks for the programs beside where it really is, so a symbolic link would not do.
		if err := os.Link(filepath.Join(dir, name), filepath.Join(made, name)); err != nil {
			t.Fatal(err)
		}
	}
	script := "#!/bin/sh\nexec " + filepath.Join(dir, "multinic-dispatcher") + ` "$@" --poll-interval=1h` + "\n"
	if err := os.WriteFile(filepath.Join(made, "multinic-dispatcher"), []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(made, "multinic-demo")
}

func TestTheDemo(t *testing.T) {
	dir := built(t)
	program := filepath.Join(dir, "multinic-demo")
	// Short, since a socket's path has 107 bytes at most, and of the test's own, so that it meets no demo of the machine's.
	kept := filepath.Join(os.TempDir(), "kept")
	keep := []string{keepEnv + "=1", folderEnv + "=" + kept}

	t.Run("plays from 0 to 1 in plain lines", func(t *testing.T) {
		said, err := outside(t, program).CombinedOutput()
		text := string(said)
		if err != nil || strings.Count(text, " 1\n") != nodes*cards || strings.Count(text, " 0\n") < nodes*cards ||
			!strings.Contains(text, "All 12 rows are 1 after") || strings.Contains(text, "\x1b") || !strings.Contains(text, "bin/grpcurl -plaintext -unix ") {
			t.Errorf("error %v, output:\n%s", err, text)
		}
	})
	t.Run("goes on when asked to, once, and stops", func(t *testing.T) {
		said, err := outside(t, program, keep...).CombinedOutput()
		if err != nil || strings.Contains(string(said), upAndRunning) {
			t.Fatalf("error %v, output:\n%s", err, said)
		}
		if info, err := os.Stat(kept + "/dispatcher.sock"); err != nil || info.Mode().Type() != os.ModeSocket {
			t.Errorf("the socket: %v", err)
		}
		if info, err := os.Stat(kept); err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("the folder: %v", err)
		}
		if said, err := outside(t, program, keep...).CombinedOutput(); err == nil || !strings.Contains(string(said), "a demo runs already") {
			t.Errorf("a second one: error %v, output:\n%s", err, said)
		}
		if said, err := exec.CommandContext(t.Context(), kept+"/stop").CombinedOutput(); err != nil {
			t.Errorf("stop: %v: %s", err, said)
		}
		if _, err := os.Stat(kept); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the folder is left: %v", err)
		}
	})
	t.Run("leaves nothing when it is interrupted", func(t *testing.T) {
		for _, after := range []time.Duration{0, 300 * time.Millisecond, time.Second} {
			cmd := outside(t, program)
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			<-time.After(after) // At whatever point that finds it.
			if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
				t.Fatal(err)
			}
			_ = cmd.Wait() // What it leaves behind is looked at by this suite's sandbox, too.
		}
		if left, err := filepath.Glob(filepath.Join(os.TempDir(), "multinic-*")); err != nil || len(left) != 0 {
			t.Errorf("left behind %v, error %v", left, err)
		}
	})
	t.Run("says no more than that when it is interrupted from a terminal", func(t *testing.T) {
		endless := endless(t, dir)
		for _, environment := range [][]string{nil, keep} {
			cmd := outside(t, endless, environment...)
			output, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			var complaint strings.Builder
			cmd.Stderr = &complaint
			// As a shell does it: Ctrl-C is sent to all processes of the group.
			cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			lines := bufio.NewScanner(output)
			for lines.Scan() && !strings.Contains(lines.Text(), "netplan_success ") {
			}
			if err := syscall.Kill(-cmd.Process.Pid, syscall.SIGINT); err != nil {
				t.Fatal(err)
			}
			for lines.Scan() {
			}
			if err := cmd.Wait(); err == nil || complaint.String() != "multinic-demo: ended early: interrupt signal received\n" {
				t.Errorf("with %v: error %v, complaint:\n%s", environment, err, complaint.String())
			}
			if _, err := os.Stat(kept); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("with %v: the folder is left: %v", environment, err)
			}
		}
	})
	t.Run("says whose the folder is that is in its way", func(t *testing.T) {
		if err := os.Mkdir(kept, 0o700); err != nil {
			t.Fatal(err)
		}
		defer func() { _ = os.Remove(kept) }()
		if said, err := outside(t, program, keep...).CombinedOutput(); err == nil || !strings.Contains(string(said), kept+" is there already, without a demo") {
			t.Errorf("error %v, output:\n%s", err, said)
		}
	})
}
