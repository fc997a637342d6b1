package durable_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"multinic.dev/executor/internal/durable"
)

// victimEnv makes the test binary write without end into the folder that it names.
const victimEnv = "MULTINIC_VICTIM"

func TestMain(m *testing.M) {
	if dir := os.Getenv(victimEnv); dir != "" {
		beVictim(dir)
	}
	os.Exit(m.Run())
}

func beVictim(dir string) {
	for i := 0; ; i++ {
		err := durable.Write(filepath.Join(dir, "file0"), []byte(strings.Repeat("x", 4096)))
		for range 20 { // It takes less time than a file.
			i++
			if err == nil {
				err = durable.Link(fmt.Sprint("target", i), filepath.Join(dir, "link1"))
			}
		}
		if err == nil {
			err = durable.WriteShared(filepath.Join(dir, "shared"), []byte("x"))
		}
		if err != nil {
			panic(err)
		}
		if i < 100 {
			os.Stdout.WriteString("written\n") //nolint:errcheck,gosec // whoever waits for it notices
		}
	}
}

// TestNothingIsLeftOfWhatAKilledProcessWrote but the files and links themselves. It is stopped again and again, and killed where it has
// something half written: a file, and then a link.
func TestNothingIsLeftOfWhatAKilledProcessWrote(t *testing.T) {
	dir := t.TempDir()
	isOurs := func(name string) bool { return slices.Contains([]string{"file0", "link1", "shared"}, name) }
	for _, half := range []string{".file0", ".link1"} {
		victim := exec.CommandContext(t.Context(), os.Args[0]) //nolint:gosec // the test itself
		victim.Env = append(os.Environ(), victimEnv+"="+dir)
		out, err := victim.StdoutPipe()
		if err == nil {
			err = victim.Start()
		}
		if err != nil {
			t.Fatal(err)
		}
		if _, err := out.Read(make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
		const mostStops = 200_000
		for stops := 0; ; stops++ {
			if stops == mostStops {
				t.Fatalf("in %d stops it has never left a %s* alone, so nothing is shown", stops, half)
			}
			stop(t, victim.Process.Pid)
			if slices.ContainsFunc(names(t, dir), func(name string) bool { return strings.HasPrefix(name, half) }) {
				break
			}
			if err := victim.Process.Signal(syscall.SIGCONT); err != nil {
				t.Fatal(err)
			}
		}
		if err := victim.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = victim.Wait() // It was killed.
		if err := durable.Sweep(dir, isOurs, func(string) {}); err != nil {
			t.Fatal(err)
		}
		if left := fmt.Sprint(names(t, dir)); left != "[file0 link1 shared]" {
			t.Fatalf("left are %s", left)
		}
	}
}

// stop stops a child of this process, and returns once it stands still.
func stop(t *testing.T, pid int) {
	t.Helper()
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	var status syscall.WaitStatus
	if _, err := syscall.Wait4(pid, &status, syscall.WUNTRACED, nil); err != nil || !status.Stopped() {
		t.Fatalf("the victim has not stopped, but %v: %v", status, err)
	}
}

func names(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, entry := range entries {
		all = append(all, entry.Name())
	}

	return all
}

// TestWhatOthersHaveLeftStays however much its name is like that of ours.
func TestWhatOthersHaveLeftStays(t *testing.T) {
	dir := t.TempDir()
	others := []string{
		".90-multinic0.yaml", ".90-multinic0.yaml.swp", ".90-multinic0.yaml~", ".90-multinic0.yamlx1", ".50-cloud-init.yaml123456", "90-multinic0.yaml123",
		"123", ".123", "90-multinic0.yaml",
	}
	for _, name := range others {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, folder := range []string{".90-multinic0.yaml7", ".90-multinic0.yaml8"} {
		if err := os.Mkdir(filepath.Join(dir, folder), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, ".90-multinic0.yaml7", "notes"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("elsewhere", filepath.Join(dir, ".90-multinic0.yaml9")); err != nil {
		t.Fatal(err)
	}
	before := names(t, dir)
	var swept []string
	isOurs := func(name string) bool { return name == "90-multinic0.yaml" }
	if err := durable.Sweep(dir, isOurs, func(name string) { swept = append(swept, name) }); err != nil {
		t.Fatal(err)
	}
	if fmt.Sprint(swept) != "[.90-multinic0.yaml8]" {
		t.Errorf("swept were %v", swept)
	}
	if after := names(t, dir); len(after) != len(before)-1 {
		t.Errorf("left are %v of %v", after, before)
	}
	if err := durable.Sweep(filepath.Join(dir, "none"), isOurs, func(string) {}); err != nil {
		t.Errorf("a folder that is not there: %v", err)
	}
	if _, err := os.Lstat(filepath.Join(dir, ".90-multinic0.yaml9")); err != nil {
		t.Errorf("a link has gone: %v", err)
	}
}
