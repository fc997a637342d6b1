// Package link reads and changes what a node's kernel has, over netlink.
package link

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// answerTimeout is how long the kernel may take for one answer. It takes milliseconds, also for a hundred thousand routes;
// without a limit a lost answer would hold up the node's work for good.
const answerTimeout = 30 * time.Second

// eventBuffer is what the kernel may keep of events that are not read yet, in bytes; some thousand of them. More are
// lost, which Watch notices.
const eventBuffer = 1 << 20

// Kernel is the kernel of one network namespace. Read, Apply and Watch are safe for concurrent use, but a plan is only as
// true as what it was made of: changes belong to one goroutine.
type Kernel struct {
	handle *netlink.Handle
	// raw carries what netlink.Handle cannot say.
	raw *nl.NetlinkSocket
	// requests counts the requests on raw.
	requests *nl.SocketHandle
	// events has been subscribed since Open.
	events *nl.NetlinkSocket
	// settings are folders of the settings of links by their paths. An open one stays that of its namespace, whoever looks into it.
	settings map[string]*os.Root
}

// Open opens the kernel of the calling thread's network namespace. Its settings are written below the /proc of root, the host's root
// directory, where that has one: a container's own cannot be written to. What happens from now on is seen by Watch. Close it.
func Open(root string) (*Kernel, error) {
	k := &Kernel{settings: map[string]*os.Root{}}
	if err := k.open(procOf(root)); err != nil {
		k.Close()
		return nil, fmt.Errorf("open the kernel's network configuration: %w", err)
	}
	return k, nil
}

// procOf is the folder of the settings of networks below a root, or this process's own. Whatever /proc it is in, it shows those of the
// namespace of whoever looks.
func procOf(root string) string {
	path := filepath.Join(root, procNet)
	if _, err := os.Stat(path); err != nil {
		return procNet
	}
	return path
}

func (k *Kernel) open(proc string) (err error) {
	// The subscription first: what happens while the rest is opened is already in it.
	if k.events, err = subscribe(); err != nil {
		return fmt.Errorf("subscribe to netlink events: %w", err)
	}
	if k.handle, err = netlink.NewHandle(unix.NETLINK_ROUTE); err != nil {
		return fmt.Errorf("open a netlink socket: %w", err)
	}
	if err = k.handle.SetSocketTimeout(answerTimeout); err != nil {
		return fmt.Errorf("set the timeout of a netlink socket: %w", err)
	}
	if k.raw, err = nl.GetNetlinkSocketAt(netns.None(), netns.None(), unix.NETLINK_ROUTE); err != nil {
		return fmt.Errorf("open a netlink socket: %w", err)
	}
	k.requests = &nl.SocketHandle{Socket: k.raw}
	timeout := unix.NsecToTimeval(answerTimeout.Nanoseconds())
	if err = errors.Join(k.raw.SetSendTimeout(&timeout), k.raw.SetReceiveTimeout(&timeout)); err != nil {
		return fmt.Errorf("set the timeout of a netlink socket: %w", err)
	}
	for _, folder := range settingFolders() {
		root, err := os.OpenRoot(filepath.Join(proc, folder))
		switch {
		case errors.Is(err, fs.ErrNotExist) && folder == ipv6Folder:
			// A kernel without IPv6.
		case err != nil:
			return fmt.Errorf("open the settings of links: %w", err)
		default:
			k.settings[folder] = root
		}
	}
	return nil
}

// Close gives the sockets and files back. Nothing may be under way.
func (k *Kernel) Close() {
	if k.handle != nil {
		k.handle.Close()
	}
	for _, socket := range []*nl.NetlinkSocket{k.raw, k.events} {
		if socket != nil {
			socket.Close()
		}
	}
	for _, root := range k.settings {
		_ = root.Close() // Nothing was written that could be lost.
	}
}
