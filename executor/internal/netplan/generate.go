package netplan

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	securejoin "github.com/cyphar/filepath-securejoin"
)

// errHangs says that a program of the host's had to be killed.
var errHangs = errors.New("has not ended")

// output is what netplan generates, by its path below the root.
type output map[string]string

// folders are where netplan(5) reads YAML, below the root.
func folders() []string { return []string{"usr/lib/netplan", "etc/netplan", "run/netplan"} }

// generate has the host's netplan generate what it would at the next boot, in a root of its own: with the host's own files,
// of which those by the given paths are as given instead, and those that are given as empty are absent. The host's real output
// is not touched.
func (h *Host) generate(ctx context.Context, instead map[string]string) (out output, err error) {
	if err := os.MkdirAll(h.at(volatile), 0o700); err != nil {
		return nil, fmt.Errorf("make a place to try netplan in: %w", err)
	}
	trial, err := os.MkdirTemp(h.at(volatile), trialPrefix)
	if err != nil {
		return nil, fmt.Errorf("make a place to try netplan in: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(trial)) }()
	for _, dir := range folders() {
		if err := h.fill(trial, dir, instead); err != nil {
			return nil, fmt.Errorf("make a place to try netplan in: %w", err)
		}
	}
	for path, text := range instead {
		if text != "" {
			if err := os.WriteFile(filepath.Join(trial, path), []byte(text), 0o600); err != nil {
				return nil, fmt.Errorf("make a place to try netplan in: %w", err)
			}
		}
	}
	within := strings.TrimPrefix(trial, filepath.Clean(h.root))
	if err := h.run(ctx, h.generator, "--root-dir", "/"+strings.TrimPrefix(within, "/")); err != nil {
		return nil, err
	}
	return gather(trial)
}

// fill copies a folder of the host's with YAML into the trial's root.
func (h *Host) fill(trial, dir string, instead map[string]string) error {
	into := filepath.Join(trial, dir)
	if err := os.MkdirAll(into, 0o700); err != nil {
		return err //nolint:wrapcheck // the caller says what for
	}
	entries, err := os.ReadDir(h.at(dir))
	if err = ignoreMissing(err); err != nil {
		return err
	}
	for _, entry := range entries {
		path := filepath.Join(dir, entry.Name())
		if _, given := instead[path]; given || filepath.Ext(path) != ".yaml" {
			continue
		}
		data, err := h.readWithin(path)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(trial, path), data, 0o600); err != nil {
			return err //nolint:wrapcheck // the same
		}
	}
	return nil
}

// readWithin reads a file of the host's, which may be a link of the host's.
func (h *Host) readWithin(path string) ([]byte, error) {
	whole, err := securejoin.SecureJoin(h.root, path)
	if err != nil {
		return nil, err //nolint:wrapcheck // the caller says what for
	}
	return os.ReadFile(whole) //nolint:wrapcheck // the same
}

// gather reads what was generated.
func gather(trial string) (output, error) {
	out := output{}
	for _, dir := range []string{runtime, "run/NetworkManager/system-connections"} {
		entries, err := os.ReadDir(filepath.Join(trial, dir))
		if err = ignoreMissing(err); err != nil {
			return nil, err
		}
		for _, entry := range entries {
			data, err := os.ReadFile(filepath.Join(trial, dir, entry.Name()))
			if err != nil {
				return nil, fmt.Errorf("read what netplan has generated: %w", err)
			}
			out[filepath.Join(dir, entry.Name())] = string(data)
		}
	}
	return out, nil
}

// noBus has whatever a program of the host's starts find no system bus. Netplan's generator asks systemd whether the host is only just
// booting, to start networkd then, and that by the bus if it must: one that hangs would hold it up for as long as it may take, and what
// is generated does not depend on the answer.
const noBus = "DBUS_SYSTEM_BUS_ADDRESS=unix:path=/nonexistent"

// run runs a program of the host's, in the host's root, without a shell and with a plain environment. What it has started ends
// with it, or with its time.
func (h *Host) run(ctx context.Context, program string, arguments ...string) error {
	ctx, cancel := context.WithTimeout(ctx, h.patience)
	defer cancel()
	command := exec.CommandContext(ctx, program, arguments...)
	command.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C", noBus}
	command.Dir = "/"
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if root := filepath.Clean(h.root); root != "/" {
		command.SysProcAttr.Chroot = root
	}
	command.Cancel = func() error { return syscall.Kill(-command.Process.Pid, syscall.SIGKILL) }
	command.WaitDelay = time.Second
	var said bytes.Buffer
	command.Stdout, command.Stderr = &said, &said
	err := command.Run()
	if command.Process != nil {
		endGroup(command.Process.Pid)
	}
	switch {
	case ctx.Err() != nil && err != nil:
		return fmt.Errorf("%s %w within %v, and was killed with all that it had started", program, errHangs, h.patience)
	case err != nil:
		const most = 2000 // Whoever reads it needs what is wrong, and where.
		text := strings.Join(strings.Fields(strings.ToValidUTF8(said.String(), "?")), " ")
		return fmt.Errorf("%s: %w: %s", program, err, text[:min(len(text), most)])
	}
	return nil
}

// endGroup ends whatever a program has left of its process group. Where this process is the first of its process namespace, as in a
// container, the orphans are its children, and stay as zombies unless they are waited for.
func endGroup(group int) {
	const most, step = time.Second, 5 * time.Millisecond // What the kernel itself holds up must not hold up more.
	for range most / step {
		if err := syscall.Kill(-group, syscall.SIGKILL); err != nil {
			return // Nobody is left.
		}
		for {
			if ended, err := syscall.Wait4(-group, nil, syscall.WNOHANG, nil); err != nil || ended == 0 {
				break // None is a child of this process, or none has ended yet.
			}
		}
		time.Sleep(step)
	}
}
