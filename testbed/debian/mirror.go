package debian

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path"
	"strings"
)

// keyring has the keys of all releases that the machine's own release knows of; Debian's oldstable gets those of the
// later ones by its updates.
const keyring = "/usr/share/keyrings/debian-archive-keyring.gpg"

// ErrNoArchive is what Tree returns where no tree can be had, since the machine is not one of Debian's.
var ErrNoArchive = errors.New("apt knows no archive of Debian on this machine, which trees of Debian are made from; " +
	"if it should, add one in /etc/apt/sources.list.d and run apt-get update")

// mirror is where the machine itself has its Debian packages from: what its apt is set up with, and no other, can be
// reached wherever a test runs.
func mirror(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "apt-get", "indextargets", "--format", "$(ORIGIN)|$(LABEL)|$(REPO_URI)",
		"Created-By: Packages", "Component: main").Output()
	if err != nil {
		return "", fmt.Errorf("ask apt where its packages come from: %w", err)
	}
	return firstDebian(string(out))
}

// firstDebian finds the first archive of Debian itself in lines of "origin|label|address". Its security archive has the
// same origin and another label, and has only what is newer. Where apt has fetched no lists yet it knows only the
// addresses, and leaves the rest as it was asked for.
func firstDebian(lines string) (string, error) {
	for line := range strings.Lines(lines) {
		fields := strings.Split(strings.TrimSpace(line), "|")
		if len(fields) != 3 {
			continue
		}
		origin, label, address := fields[0], fields[1], fields[2]
		unknown := strings.HasPrefix(origin, "$(") && path.Base(address) == "debian"
		if unknown || origin == "Debian" && label == "Debian" {
			return address, nil
		}
	}
	return "", ErrNoArchive
}
