package vm

import (
	"context"
	"errors"
	"fmt"
	"os"
	"testing"

	"multinic.dev/testbed/debian"
	"multinic.dev/testbed/sandbox"
)

// snapshotEnv is followed by a release in the name of the variable that tells a suite where its snapshot is.
const snapshotEnv = "MULTINIC_VM_SNAPSHOT_"

// wantedEnv is set where virtual machines are to be tested: they take their time.
const wantedEnv = "MULTINIC_TEST_VM"

// Main is sandbox.Main for a suite with virtual machines; call it from TestMain and nothing else. What they boot from is
// made before the first of its tests, and kept for the next suite: that takes two minutes.
func Main(m *testing.M, fixtures ...sandbox.Fixture) {
	if why() != "" {
		sandbox.Main(m, fixtures...)
		return
	}
	both := []debian.Release{debian.Bookworm, debian.Trixie}
	sandbox.MainWith(m, []sandbox.Fixture{debian.Built(both, packages())}, append([]sandbox.Fixture{snapshots(both)}, fixtures...)...)
}

// why says why there are no virtual machines here; empty: there are.
func why() string {
	switch {
	case os.Getenv(wantedEnv) == "":
		return "virtual machines take their time: make test-vm tests them"
	case !sandbox.RealRoot():
		return "virtual machines need root of the machine: run this test as root (with sudo)"
	default:
		return ""
	}
}

// snapshots is the fixture that makes the snapshots.
func snapshots(releases []debian.Release) sandbox.Fixture {
	return func() (end func() error, err error) {
		folder, err := os.MkdirTemp("", "agent-")
		if err != nil {
			return nil, fmt.Errorf("make a folder for the agent: %w", err)
		}
		defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
		ctx, cancel := context.WithTimeout(context.Background(), makeTimeout)
		defer cancel()
		agent, err := buildAgent(ctx, folder)
		if err != nil {
			return nil, err
		}
		for _, release := range releases {
			made, err := snapshot(ctx, release, agent)
			if errors.Is(err, debian.ErrNoArchive) {
				break // The tests that need it are skipped then.
			}
			if err != nil {
				return nil, fmt.Errorf("make the snapshot of Debian %s: %w", release, err)
			}
			if err := os.Setenv(snapshotEnv+string(release), made); err != nil {
				return nil, err
			}
		}
		return func() error { return nil }, nil
	}
}
