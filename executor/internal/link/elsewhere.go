package link

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"multinic.dev/executor/internal/plan"
)

// Elsewhere are the names of the links that stand on links of this namespace and are in others, as the macvlans of pods are, by the
// index of the link below. It asks each namespace that the kernel has a number for here, as it has once a link was moved between the
// two; of those in which this process may not look it knows nothing. It must be called in the namespace that was opened.
func (k *Kernel) Elsewhere(ctx context.Context) (map[int][]string, error) {
	found := map[int][]string{}
	self := numberless
	others, err := whole(k.namespaces)
	if err != nil {
		return nil, fmt.Errorf("read which namespaces there are: %w", err)
	}
	for _, other := range others {
		if ctx.Err() != nil {
			return nil, fmt.Errorf("read the links of other namespaces: %w", context.Cause(ctx))
		}
		links, err := whole(func() ([]netlink.Link, error) { return k.linksIn(other) })
		switch {
		case errors.Is(err, unix.EINVAL), errors.Is(err, unix.EACCES), errors.Is(err, unix.EPERM):
			continue // It has gone meanwhile, or is a stranger's.
		case err != nil:
			return nil, fmt.Errorf("read the links of the namespace with number %d: %w", other, err)
		}
		// It may be that the kernel gave this namespace a number only now, to say where a link stands. It keeps it.
		if self == numberless {
			if self, err = k.ownNumber(); err != nil {
				return nil, err
			}
		}
		for _, one := range links {
			attributes := one.Attrs()
			isPair := slices.Contains([]string{"veth", "netkit"}, one.Type())
			isHere := self != numberless && attributes.NetNsID == self
			if other != self && isHere && attributes.ParentIndex != 0 && !isPair {
				found[attributes.ParentIndex] = append(found[attributes.ParentIndex], attributes.Name)
			}
		}
	}
	return found, nil
}

// Surroundings adds Elsewhere to what was read of the kernel.
func (k *Kernel) Surroundings(ctx context.Context, kernel *plan.Kernel) (err error) {
	kernel.Elsewhere, err = k.Elsewhere(ctx)
	return err
}

// numberless is NETNSA_NSID_NOT_ASSIGNED.
const numberless = -1

// The attributes of linux/net_namespace.h.
const (
	attributeNumber = 1 // NETNSA_NSID
	attributeFile   = 3 // NETNSA_FD
)

// anyFamily is a struct rtgenmsg, padded.
type anyFamily struct{}

func (anyFamily) Len() int          { return unix.NLMSG_ALIGNTO }
func (anyFamily) Serialize() []byte { return make([]byte, unix.NLMSG_ALIGNTO) }

// numberRequest asks for numbers of namespaces.
func (k *Kernel) numberRequest(flags int) *nl.NetlinkRequest {
	request := k.request(unix.RTM_GETNSID, flags)
	request.AddData(anyFamily{})
	return request
}

// namespaces are the numbers of the namespaces that have one here.
func (k *Kernel) namespaces() ([]int, error) {
	messages, err := k.numberRequest(unix.NLM_F_DUMP).Execute(unix.NETLINK_ROUTE, unix.RTM_NEWNSID)
	if err != nil {
		return nil, err //nolint:wrapcheck // Elsewhere says what was attempted
	}
	var numbers []int
	for _, message := range messages {
		if number := numberIn(message); number != numberless {
			numbers = append(numbers, number)
		}
	}
	return numbers, nil
}

// ownNumber is the number of this namespace, as seen from itself; numberless: it has none.
func (k *Kernel) ownNumber() (int, error) {
	own, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		return 0, fmt.Errorf("open the own network namespace: %w", err)
	}
	defer func() { _ = own.Close() }() // Nothing was written.
	request := k.numberRequest(0)
	request.AddData(nl.NewRtAttr(attributeFile, nl.Uint32Attr(uint32(own.Fd()))))
	messages, err := request.Execute(unix.NETLINK_ROUTE, unix.RTM_NEWNSID)
	if err != nil || len(messages) == 0 {
		return numberless, err //nolint:wrapcheck // it hardly can
	}
	return numberIn(messages[0]), nil
}

func numberIn(message []byte) int {
	const header = 4
	if len(message) < header {
		return numberless
	}
	attributes, err := nl.ParseRouteAttr(message[header:])
	if err != nil {
		return numberless
	}
	for _, attribute := range attributes {
		if attribute.Attr.Type == attributeNumber && len(attribute.Value) == 4 {
			return int(int32(binary.NativeEndian.Uint32(attribute.Value)))
		}
	}
	return numberless
}

// linksIn are the links of the namespace with a number.
func (k *Kernel) linksIn(namespace int) ([]netlink.Link, error) {
	request := k.request(unix.RTM_GETLINK, unix.NLM_F_DUMP)
	request.AddData(nl.NewIfInfomsg(unix.AF_UNSPEC))
	request.AddData(nl.NewRtAttr(unix.IFLA_TARGET_NETNSID, nl.Uint32Attr(uint32(namespace))))
	messages, err := request.Execute(unix.NETLINK_ROUTE, unix.RTM_NEWLINK)
	if err != nil {
		return nil, err //nolint:wrapcheck // Elsewhere says what was attempted
	}
	var links []netlink.Link
	for _, message := range messages {
		link, err := netlink.LinkDeserialize(nil, message)
		if err != nil {
			return nil, fmt.Errorf("understand a link: %w", err)
		}
		links = append(links, link)
	}
	return links, nil
}
