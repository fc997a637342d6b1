package node

import (
	"os"
	"strings"
	"time"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// settleTimeout is how long a link may take to settle. It takes some milliseconds.
const settleTimeout = 30 * time.Second

// hasIPv6 says whether the kernel has IPv6 at all.
func (n *Node) hasIPv6() bool {
	_, ok := n.setting("net/ipv6/conf/default/accept_dad")
	return ok
}

// setting reads a setting of the namespace, if there is one; name is its path below /proc/sys.
func (n *Node) setting(name string) (string, bool) {
	var value []byte
	err := n.Do(func() (err error) {
		value, err = os.ReadFile("/proc/sys/" + name)
		return err
	})
	return strings.TrimSpace(string(value)), err == nil
}

// BringUp brings a link up and waits until it has the address and the route that the kernel gives it for that, the last
// of what follows, so that whoever listens from then on hears of nothing that is only the late end of this. Its other
// end must be up.
func (n *Node) BringUp(link string) {
	n.t.Helper()
	if off, ok := n.setting("net/ipv6/conf/" + link + "/disable_ipv6"); !ok || off != "0" {
		n.IP("link", "set", link, "up") // Nothing follows from it.
		return
	}
	var socket *nl.NetlinkSocket
	err := n.Do(func() (err error) {
		socket, err = nl.Subscribe(unix.NETLINK_ROUTE, unix.RTNLGRP_IPV6_ROUTE)
		return err
	})
	if err != nil {
		n.t.Fatalf("listen to the kernel of %s: %v", n.name, err)
	}
	defer socket.Close()
	// Nothing may come any more, if all was there before the first look.
	if err := socket.SetReceiveTimeout(&unix.Timeval{Usec: 100_000}); err != nil {
		n.t.Fatalf("set a receive timeout in %s: %v", n.name, err)
	}
	n.IP("link", "set", link, "up")
	for deadline := time.Now().Add(settleTimeout); ; {
		if strings.Contains(n.IP("-6", "route", "show", "table", "local", "dev", link), "fe80::") {
			return
		}
		if time.Now().After(deadline) {
			n.t.Fatalf("the link %s has not settled within %v: %s", link, settleTimeout, n.IP("address", "show", "dev", link))
			return
		}
		_, _, _ = socket.Receive() // Whatever has come, or has not, the next look tells.
	}
}
