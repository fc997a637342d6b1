// Package uml runs tests under a kernel of their own, in user-mode Linux, for what the machine's kernel cannot do:
// VLANs, bonds and dummies, and a kernel that does not rename links that are up.
//
// A test that asks for it is run once more, as the same test of the same program, as a process of that kernel, on the
// machine's own file system, which it can only read. It takes a few seconds, and needs no rights that the sandbox has
// not. The test's suite begins in Main, and the rest of its sandbox is there as well: the namespaces, the temporary
// folder, and the look at what is left behind.
package uml

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"multinic.dev/testbed/sandbox"
)

const (
	// program and its package are what the machine must have.
	program      = "linux.uml"
	programOwner = "user-mode-linux"

	// bootEnv tells the kernel's first process where its boot file is; the kernel passes on what it does not know.
	bootEnv = "MULTINIC_UML_BOOT"
	// insideEnv is set in a test that runs under the kernel.
	insideEnv = "MULTINIC_UML_INSIDE"

	// memory is what the kernel has. It takes from the machine only what it uses.
	memory = "768M"
	// longest is how long a test may take when the suite has no deadline.
	longest = 10 * time.Minute
	// allowance is what is kept of a deadline for saying why it was missed: of the suite's by Run, and once more of
	// Run's by the suite inside, which then says what its goroutines waited for.
	allowance = 5 * time.Second
)

// boot is what the kernel's first process has to know. It is a file, as a kernel's command line is short.
type boot struct {
	// Args and Env are those of the program inside, Folder is where it starts, and Temporary is where it gets a
	// temporary folder of its own.
	Args      []string `json:"args"`
	Env       []string `json:"env"`
	Folder    string   `json:"folder"`
	Temporary string   `json:"temporary"`
	// Token begins the line that says how the program inside has ended.
	Token string `json:"token"`
}

// Main is sandbox.Main for a suite with tests that use Run; call it from TestMain and nothing else.
func Main(m *testing.M, fixtures ...sandbox.Fixture) {
	if file := os.Getenv(bootEnv); file != "" && os.Getpid() == 1 {
		beInit(file)
	}
	sandbox.Main(m, append([]sandbox.Fixture{forgetBuilt}, fixtures...)...)
}

// Inside says whether this process runs under a kernel of Run's.
func Inside() bool { return os.Getenv(insideEnv) != "" }

// Run runs the test t under a kernel of its own, where body is called, and returns when it has ended; t fails if it
// failed there, and is skipped if it was skipped there. What it prints is logged. Whatever of the test, and of those
// that it is part of, comes before the call runs here and there. The test's environment there is that of here and env,
// each "NAME=value".
//
// The race detector does not work under that kernel, whose processes have too few addresses for it: the suite is
// then built once more without it, for inside.
//
// A machine without user-mode Linux fails the test with what to install.
func Run(t *testing.T, body func(), env ...string) {
	t.Helper()
	if Inside() {
		body()
		return
	}
	kernel, err := exec.LookPath(program)
	if err != nil {
		t.Fatalf("this test needs %s, which is not in PATH: install the Debian package %s", program, programOwner)
	}
	deadline, ok := t.Deadline()
	if !ok {
		deadline = time.Now().Add(longest)
	}
	deadline = deadline.Add(-allowance)
	ctx, cancel := context.WithDeadline(t.Context(), deadline)
	defer cancel()

	folder := t.TempDir()
	binary, err := binaryFor(ctx, folder)
	if err != nil {
		t.Fatal(err)
	}
	limit := time.Until(deadline) - allowance
	if limit <= 0 {
		t.Fatalf("the suite's time is up in %v: too little is left for a kernel of the test's own", limit+2*allowance)
	}
	file, b, err := prepareBoot(folder, binary, t.Name(), limit, env)
	if err != nil {
		t.Fatal(err)
	}
	out := &output{token: b.Token, say: func(line string) { t.Log("uml: " + line) }}
	said, err := start(ctx, kernel, folder, binary, file, out)
	switch {
	case ctx.Err() != nil:
		t.Fatalf("the test has not ended under its own kernel in time. The kernel said:\n%s", said)
	case err != nil, !out.ended:
		t.Fatalf("the kernel has ended before the test: %v. It said:\n%s", err, said)
	}
	switch verdict := out.verdict(t.Name()); {
	case out.code == 0 && verdict == "SKIP":
		t.Skip("the test was skipped under its own kernel")
	case out.code != 0 || verdict != "PASS":
		t.Errorf("the test's verdict under its own kernel was %q, and the suite ended with code %d", verdict, out.code)
	}
}

// prepareBoot writes the file that tells the first process what to do for a test.
func prepareBoot(folder, binary, test string, limit time.Duration, env []string) (string, boot, error) {
	working, err := os.Getwd()
	if err != nil {
		return "", boot{}, fmt.Errorf("find the folder to run in: %w", err)
	}
	b := boot{
		Args: []string{
			binary, "-test.run=" + exactly(test), "-test.v", "-test.count=1", "-test.paniconexit0",
			"-test.timeout=" + limit.String(),
		},
		Folder: working, Temporary: filepath.Join(folder, "tmp"),
		Token: rand.Text(),
	}
	for _, e := range append(os.Environ(), env...) {
		// The suite begins anew there: outside its sandbox.
		if !strings.HasPrefix(e, sandbox.StageEnv+"=") && !strings.HasPrefix(e, "TMPDIR=") {
			b.Env = append(b.Env, e)
		}
	}
	b.Env = append(b.Env, insideEnv+"=1", "TMPDIR="+b.Temporary)
	text, err := json.Marshal(b)
	if err != nil {
		return "", boot{}, fmt.Errorf("write the boot file: %w", err)
	}
	file := filepath.Join(folder, "boot.json")
	if err := errors.Join(os.WriteFile(file, text, 0o600), os.Mkdir(b.Temporary, 0o700)); err != nil {
		return "", boot{}, fmt.Errorf("write the boot file: %w", err)
	}
	return file, b, nil
}

// exactly is the pattern that a test's name, with those of the tests that it is part of, and no other matches.
func exactly(test string) string {
	var parts []string
	for part := range strings.SplitSeq(test, "/") {
		parts = append(parts, "^"+regexp.QuoteMeta(part)+"$")
	}
	return strings.Join(parts, "/")
}

// start runs the kernel until it has powered itself off, and ends it when the context does. It returns what the kernel
// itself said, which is of interest only when something went wrong.
func start(ctx context.Context, kernel, folder, binary, bootFile string, out *output) (string, error) {
	serial, itsSerial, err := os.Pipe()
	if err != nil {
		return "", fmt.Errorf("make a pipe for what the test prints: %w", err)
	}
	cmd := exec.CommandContext(ctx, kernel,
		"mem="+memory, "uml_dir="+folder+"/", "umid=kernel",
		// The machine's file system, which is not to be written to.
		"rootfstype=hostfs", "rootflags=/", "ro", "init="+binary, bootEnv+"="+bootFile,
		// The kernel speaks on its console, the test on the serial line, so that each is whole.
		"con=null", "con0=null,fd:1", "ssl=null", "ssl0=null,fd:3", "quiet")
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	cmd.ExtraFiles = []*os.File{itsSerial}
	cmd.Dir = folder // A kernel that panics leaves its core.
	cmd.Env = append(os.Environ(), "HOME="+folder)
	// The kernel's memory is a file that has no name: in memory it costs no disk.
	if info, err := os.Stat("/dev/shm"); err == nil && info.IsDir() {
		cmd.Env = append(cmd.Env, "TMPDIR=/dev/shm")
	}
	// Each of its processes is one of the machine's, and the kernel's death is not theirs.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = allowance / 2
	if err := cmd.Start(); err != nil {
		return "", errors.Join(fmt.Errorf("start the kernel: %w", err), serial.Close(), itsSerial.Close())
	}
	closed := itsSerial.Close()
	read := make(chan error)
	go func() { read <- out.readFrom(serial) }()
	err = cmd.Wait()
	// What is left of a kernel that did not end by itself holds the pipe open. Mostly there is nothing.
	_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	return said.String(), errors.Join(err, closed, <-read, serial.Close())
}

// output is what the test prints. It belongs to one goroutine at a time.
type output struct {
	token string
	say   func(line string)

	lines []string
	// ended is whether the program inside has ended, and code how.
	ended bool
	code  int
}

func (o *output) readFrom(r io.Reader) error {
	scanner := bufio.NewScanner(r)
	scanner.Buffer(nil, 16<<20)
	for scanner.Scan() {
		line := strings.TrimRight(scanner.Text(), "\r")
		if rest, ok := strings.CutPrefix(line, o.token+" "); ok {
			_, err := fmt.Sscanf(rest, "%d", &o.code)
			o.ended = err == nil
			continue
		}
		o.lines = append(o.lines, line)
		o.say(line)
	}
	return scanner.Err()
}

// verdict is what the suite said of a test: PASS, FAIL, SKIP, or nothing.
func (o *output) verdict(test string) string {
	pattern := regexp.MustCompile(`^\s*--- (PASS|FAIL|SKIP): ` + regexp.QuoteMeta(test) + ` \(`)
	for _, line := range o.lines {
		if match := pattern.FindStringSubmatch(line); match != nil {
			return match[1]
		}
	}
	return ""
}
