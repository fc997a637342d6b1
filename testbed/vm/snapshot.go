package vm

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"

	"multinic.dev/testbed/debian"
	"multinic.dev/testbed/vm/disk"
	"multinic.dev/testbed/vm/image"
	"multinic.dev/testbed/vm/order"
	"multinic.dev/testbed/vm/streams"
)

// state is the file of a snapshot that has the state of a machine which has booted, beside those of the image; the disk is
// as it was then.
const state = "state"

// packages are those that guests have beyond what every tree has.
func packages() debian.Option { return debian.WithPackages("linux-image-cloud-amd64", "iputils-ping") }

// agentPackage is the program that runs in guests.
const agentPackage = "multinic.dev/testbed/vm/agent"

// buildAgent builds the agent into a folder.
func buildAgent(ctx context.Context, folder string) (string, error) {
	agent := filepath.Join(folder, "agent")
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o", agent, agentPackage)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the guest's agent: %w: %s", err, out)
	}
	return agent, nil
}

// snapshot is the folder of a release's snapshot, which is made now if it is not there: that takes a boot.
func snapshot(ctx context.Context, release debian.Release, agent string) (string, error) {
	tree, err := debian.Tree(ctx, release, packages())
	if err != nil {
		return "", err
	}
	key, err := snapshotKey(ctx, tree, agent)
	if err != nil {
		return "", err
	}
	return debian.Kept(ctx, fmt.Sprintf("vm-%s-%s", release, key), func(ctx context.Context, building string) error {
		return makeSnapshot(ctx, tree, agent, building)
	})
}

// snapshotKey is a hash of all that a snapshot is made of; qemu takes up no state of another version.
func snapshotKey(ctx context.Context, tree, agent string) (string, error) {
	version, err := exec.CommandContext(ctx, program, "--version").Output()
	if err != nil {
		return "", fmt.Errorf("ask %s (Debian package %s) for its version: %w", program, programOwner, err)
	}
	hash := sha256.New()
	_, _ = fmt.Fprintf(hash, "%q %q %s %q %s", version, filepath.Base(tree), kernelArguments+ownArguments, arguments(), image.Recipe())
	file, err := os.Open(agent)
	if err != nil {
		return "", fmt.Errorf("read the agent: %w", err)
	}
	_, err = io.Copy(hash, file)
	return fmt.Sprintf("%x", hash.Sum(nil)[:8]), errors.Join(err, file.Close())
}

func makeSnapshot(ctx context.Context, tree, agent, folder string) (err error) {
	if err := os.Mkdir(folder, 0o700); err != nil {
		return fmt.Errorf("make the snapshot's folder: %w", err)
	}
	if err := image.Make(ctx, tree, agent, folder); err != nil {
		return err
	}
	first, layer := filepath.Join(folder, "first"), filepath.Join(folder, "layer")
	if err := os.Rename(filepath.Join(folder, image.Disk), first); err != nil {
		return fmt.Errorf("put the first disk aside: %w", err)
	}
	d, err := disk.Open(first, layer)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.Close(), os.Remove(first), os.Remove(layer)) }()
	m, err := switchOn(ctx, way{image: folder, disk: d, accept: refuse})
	if err != nil {
		return err
	}
	err = m.bootAndSave(ctx, filepath.Join(folder, state))
	if err != nil {
		err = fmt.Errorf("%w; %s", err, m.story())
	}
	if err := errors.Join(err, m.kill(), m.tidy()); err != nil {
		return err
	}
	// What the guest has not flushed yet is in the cache that is in its memory, or in the disk's: it goes on from here.
	if err := d.Flush(); err != nil {
		return err
	}
	return d.WriteTo(filepath.Join(folder, image.Disk))
}

func refuse(_ *machine, s *streams.Stream) { _ = s.Close() }

// bootAndSave waits until a machine is quiet, and saves its state.
func (m *machine) bootAndSave(ctx context.Context, to string) error {
	how, err := m.quiet(ctx)
	if err != nil {
		return err
	}
	if how != "running" {
		failed, _, err := m.ask(ctx, &order.Order{Do: order.Run, Args: []string{"systemctl", "--failed", "--no-legend", "--plain"}}, nil)
		return errors.Join(fmt.Errorf("the guest is %s: %s", how, failed), err)
	}
	if _, _, err := m.ask(ctx, &order.Order{Do: order.Run, Args: []string{"sync"}}, nil); err != nil {
		return err
	}
	return m.save(ctx, to)
}
