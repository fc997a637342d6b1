package group

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"

	"multinic.dev/testbed/sandbox"
)

// caretakerEnv has, in the process that is a suite's caretaker, what it removes: the path of the suite's control group and,
// after a colon, the folder of its temporary files.
const caretakerEnv = "MULTINIC_KUBE_CARETAKER"

// Caretaker does a caretaker's work and ends the process, if it is one. A program's main or TestMain calls it first.
func Caretaker() {
	what, ok := os.LookupEnv(caretakerEnv)
	if !ok {
		return
	}
	// The suite has the other end of the pipe, and nobody else: it has ended when that is closed.
	_, _ = io.Copy(io.Discard, os.Stdin)
	path, folder, _ := strings.Cut(what, ":")
	if err := errors.Join(remove(path), os.RemoveAll(folder)); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// Suite is a fixture for sandbox.MainWith, outside: it makes the suite's control group, and a folder for its temporary files,
// which stay neither when the suite ends nor when it is killed. An ordinary user can have no group, and gets none.
func Suite() (end func() error, err error) {
	if !sandbox.RealRoot() {
		return func() error { return nil }, nil
	}
	folder, err := os.MkdirTemp("", "multinic-kube-")
	if err != nil {
		return nil, fmt.Errorf("make a folder for temporary files: %w", err)
	}
	path := prefix + strings.ToLower(rand.Text())
	end, err = startCaretaker(path, folder)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(folder))
	}
	if err := errors.Join(makeIn(path), os.Setenv(pathEnv, path), os.Setenv("TMPDIR", folder)); err != nil {
		return nil, errors.Join(err, end())
	}
	return end, nil
}

// startCaretaker starts the caretaker outside of the suite's process group, so that what ends the suite does not end it.
func startCaretaker(path, folder string) (end func() error, err error) {
	suite, alive, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("make a pipe to the caretaker: %w", err)
	}
	cmd := exec.CommandContext(context.Background(), "/proc/self/exe")
	cmd.Env = append(os.Environ(), caretakerEnv+"="+path+":"+folder)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	// It holds nothing of the suite's own output: `go test` waits for whoever does.
	var said bytes.Buffer
	cmd.Stdin, cmd.Stderr = suite, &said
	err = cmd.Start()
	if err := errors.Join(err, suite.Close()); err != nil {
		return nil, errors.Join(fmt.Errorf("start the caretaker: %w", err), alive.Close())
	}
	return func() error {
		err := alive.Close()
		if wait := cmd.Wait(); wait != nil {
			err = errors.Join(err, fmt.Errorf("remove the control groups of the nodes: %w: %s", wait, strings.TrimSpace(said.String())))
		}
		return err
	}, nil
}
