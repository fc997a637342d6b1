// Package netplan keeps, on a host that runs Netplan, what the next boot makes of multinic's NICs.
//
// What is kept of a NIC is one folder, /etc/multinic/NIC.SUFFIX, with all of its files; see package render. The symbolic link
// /etc/multinic/NIC names the folder that counts, and where netplan, networkd and systemd-sysctl look, there are links that lead
// through it. So one rename changes all of a NIC's files at once, with its VLANs: a power cut leaves the old ones or the new
// ones.
package netplan

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"multinic.dev/executor/internal/hostroot"
)

const (
	// folder has the folders of the NICs, below the host's root.
	folder = "etc/multinic"
	// runtime is where what networkd reads is generated, and volatile where netplan is tried; both are gone after a boot.
	runtime  = "run/systemd/network"
	volatile = "run/multinic"
	// configName is the file of a NIC's folder that says what it was made from.
	configName = "config.json"
	// patience is how long netplan's generator may take. It takes a fortieth of a second, and emulated machines two.
	patience = 30 * time.Second
)

// generators are where netplan's generator is, by the age of its version: the newest first. It is what the command `netplan
// generate` runs, and what runs at boot.
func generators() []string {
	return []string{"usr/libexec/netplan/generate", "usr/lib/netplan/generate"}
}

// Host is the host's Netplan. Not safe for concurrent use: it belongs to the one goroutine that configures the node.
type Host struct {
	// root is the host's root directory, and generator the program, below it.
	root, generator string
	// backups is where replaced files are kept.
	backups  string
	patience time.Duration
	// takesDHCP says that NICs may be taken from the DHCP of others' definitions that are for all NICs that are alike.
	takesDHCP bool
	// hung says that netplan's generator had to be killed when it was last asked.
	hung bool
	// defined is what was last found in the host's files.
	defined defined
	// before is called before each effect on the host's disk, with what it is; tests count them.
	before func(effect string)
}

// ErrNone says that a host does not run Netplan.
var ErrNone = errors.New("the host has no Netplan")

// Option changes how a Netplan is used.
type Option func(*Host)

// TakeDHCP has NICs taken from others' definitions for all NICs that are alike, where these have addresses asked for by DHCP: they give
// way to what is persisted.
func TakeDHCP() Option { return func(h *Host) { h.takesDHCP = true } }

// Open finds the Netplan of a host; root is its root directory, and backups the folder in which what is replaced is kept, as this
// process sees both. It changes nothing. Errors: ErrNone, with what was looked for.
func Open(root, backups string, options ...Option) (*Host, error) {
	if _, err := os.Stat(filepath.Join(root, "etc/netplan")); err != nil {
		return nil, fmt.Errorf("%w: there is no folder /etc/netplan", ErrNone)
	}
	for _, generator := range generators() {
		if info, err := os.Stat(filepath.Join(root, generator)); err == nil && info.Mode().IsRegular() {
			h := &Host{root: root, backups: backups, generator: "/" + generator, patience: patience, before: func(string) {}}
			for _, option := range options {
				option(h)
			}
			return h, nil
		}
	}
	return nil, fmt.Errorf("%w: there is no generator /%s: install netplan.io", ErrNone, strings.Join(generators(), " or /"))
}

// at is a path of the host's as this process sees it.
func (h *Host) at(path string) string { return hostroot.Path(h.root, path) }
