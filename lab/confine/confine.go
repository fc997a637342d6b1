// Package confine says what an executor needs in its container, and runs one on a host with no more than that.
//
// The container has a read-only root of its own in which there is nothing but the executor's static binary: no shell, no tools, no
// libraries. It has the host's network, and the host's root directory mounted read-only at HostRoot, with all that is mounted in it.
package confine

import (
	"path/filepath"
	"slices"
)

const (
	// HostRoot is where the executor finds the host's root directory: its --host-root.
	HostRoot = "/host"
	// StateDir is its --state-dir.
	StateDir = HostRoot + "/var/lib/multinic"
	// Program is where its binary is, in the container and on the host.
	Program = "/multinic-executor"
)

// Capability is a capability (capabilities(7)) that the executor needs, named as Kubernetes names it, and why.
type Capability struct{ Name, Why string }

// Capabilities are all that the executor needs. It runs as root, without new privileges, with these as its bounding set.
func Capabilities() []Capability {
	return []Capability{
		{"NET_ADMIN", "it changes links, addresses, routes and rules, and looks at the links of pods"},
		{"NET_RAW", "it asks on the wire whether an address is in use"},
		{"SYS_CHROOT", "the host's Netplan runs in the host's root"},
	}
}

// Mount is a folder of the host's that the executor has in its container, at the same path below HostRoot, and why. It is made on the host
// if it is not there.
type Mount struct {
	Path string
	// Writable says that the executor writes to it; what is mounted below is a Mount of its own, or read-only.
	Writable bool
	Why      string
}

// Mounts are all folders of the host's that the executor needs.
func Mounts() []Mount {
	return []Mount{
		{"/", false, "the host's other files for Netplan, its generator, which runs in this root, and the socket of its system bus"},
		{"/etc/multinic", true, "all files of each NIC"},
		{"/etc/netplan", true, "links to them, where Netplan looks"},
		{"/etc/sysctl.d", true, "links to them, where systemd-sysctl and udev look"},
		{"/etc/systemd/network", true, "links to them, where networkd looks"},
		{"/proc/sys/net", true, "the settings of links; in the container's own `/proc` they are read-only"},
		{"/run/multinic", true, "the root in which Netplan is tried"},
		{"/run/systemd/network", true, "what Netplan makes of the NICs' files, for udev, and for networkd when it starts again"},
		{"/var/lib/multinic", true, "the state directory"},
	}
}

// Without are all of a list but one.
func Without[T comparable](list []T, one T) []T {
	return slices.DeleteFunc(slices.Clone(list), func(each T) bool { return each == one })
}

// Folder is a folder of the host's that a container has somewhere else than below HostRoot.
type Folder struct{ Host, Container string }

// Unit is an executor that is to run on a host, as a transient unit of the host's own systemd, which is what confines it.
type Unit struct {
	// Name is the unit's.
	Name         string
	Capabilities []Capability
	Mounts       []Mount
	// Sockets is the folder of the dispatcher's socket.
	Sockets Folder
	// OwnProcesses says that the executor is the first process of a process namespace of its own, as in a container. systemd before 257
	// cannot do that.
	OwnProcesses bool
}

// Command is the command with which the host runs the unit; it prints what the executor does, and ends when that has ended.
func (u Unit) Command(arguments ...string) []string {
	bounding, set := "", []string{
		"--quiet", "--wait", "--pipe", "--collect", "--unit=" + u.Name, "--property=NoNewPrivileges=yes",
		// Container runtimes bring /dev and /proc as well, the settings in it read-only.
		"--property=MountAPIVFS=yes", "--property=ReadOnlyPaths=/proc/sys",
		"--property=TemporaryFileSystem=/:ro", "--property=BindReadOnlyPaths=" + Program,
		"--property=BindPaths=" + u.Sockets.Host + ":" + u.Sockets.Container,
	}
	for _, each := range u.Capabilities {
		bounding += " CAP_" + each.Name
	}
	set = append(set, "--property=CapabilityBoundingSet="+bounding)
	for _, each := range u.Mounts {
		kind := "BindReadOnlyPaths"
		if each.Writable {
			kind = "BindPaths"
		}
		set = append(set, "--property="+kind+"="+each.Path+":"+filepath.Join(HostRoot, each.Path))
	}
	if u.OwnProcesses {
		set = append(set, "--property=PrivatePIDs=yes")
	}

	return slices.Concat([]string{"systemd-run"}, set, []string{"--", Program}, arguments)
}
