package link

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"

	"multinic.dev/executor/internal/plan"
)

// Lookup is the kernel's own route lookup for traffic to a destination, IPv4 or IPv6, that is bound to no address.
func (k *Kernel) Lookup(destination netip.Addr) (plan.Path, error) {
	routes, err := k.handle.RouteGet(destination.AsSlice())
	// What the kernel says where no route leads there, or one that says so: unreachable, prohibit, blackhole.
	nowhere := []error{unix.ENETUNREACH, unix.EHOSTUNREACH, unix.EACCES, unix.EINVAL}
	switch {
	case slices.ContainsFunc(nowhere, func(e error) bool { return errors.Is(err, e) }), err == nil && len(routes) == 0:
		return plan.Path{}, nil
	case err != nil:
		return plan.Path{}, fmt.Errorf("look up the way to %s: %w", destination, err)
	}
	return plan.Path{Link: routes[0].LinkIndex, Source: addrOf(routes[0].Src), Via: nextHop(routes[0].Gw, routes[0].Via)}, nil
}
