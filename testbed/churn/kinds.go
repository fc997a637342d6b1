package churn

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Tables and preferences that others use: cloud-init's, Cilium's, Calico's, and one next to multinic's own.
var (
	foreignTables      = [...]int{77, 101, 2004, 0x6d6d0000, 0x6d6f0000}                 //nolint:gochecknoglobals // a constant
	foreignPreferences = [...]int{9, 100, 512, 20000, 24999, 25003, 30000, 32763, 32800} //nolint:gochecknoglobals // a constant
)

// invent is the next thing to make. No two with numbers that are less than 60000 apart are alike.
func (s *stage) invent(random *rand.Rand, number int) *thing {
	high, low := byte(number/250%240), byte(number%250)
	switch random.IntN(8) {
	case 0, 1:
		return s.pod(number, net.IPv4(10, 244, high, low), random.IntN(2) == 0)
	case 2:
		return s.route(netlink.Route{
			Dst: network(net.IPv4(10, 96, high, low), 32), LinkIndex: s.bridgeLink.Attrs().Index,
			Scope: netlink.SCOPE_LINK, Protocol: 80, Table: unix.RT_TABLE_MAIN, Priority: random.IntN(3) * 100,
		})
	case 3:
		return s.route(netlink.Route{
			Dst: network(net.IPv4(10, 97, high, low), 32), Type: unix.RTN_BLACKHOLE, Protocol: 80,
			Table: foreignTables[random.IntN(len(foreignTables))],
		})
	case 4:
		return s.route(netlink.Route{
			Dst: network(net.ParseIP(fmt.Sprintf("2001:db8:c:%x::", number%0xffff)), 64), LinkIndex: s.bridgeLink.Attrs().Index,
			Protocol: 80, Table: unix.RT_TABLE_MAIN, Priority: 1024,
		})
	case 5:
		rule := netlink.NewRule()
		rule.Family, rule.Src = netlink.FAMILY_V4, network(net.IPv4(172, 16+high%16, high, low), 32)
		if random.IntN(4) == 0 {
			rule.Family, rule.Src = netlink.FAMILY_V6, network(net.ParseIP(fmt.Sprintf("2001:db8:d::%x", number%0xffff)), 128)
		}
		rule.Priority = foreignPreferences[random.IntN(len(foreignPreferences))]
		rule.Table = foreignTables[random.IntN(len(foreignTables))]
		rule.Protocol = unix.RTPROT_STATIC
		return s.rule(rule)
	case 6:
		link := s.virtuals[random.IntN(len(s.virtuals))]
		return s.address(link, &netlink.Addr{IPNet: network(net.IPv4(10, 98, high, low), 32)})
	default:
		return s.neighbour(netlink.Neigh{
			LinkIndex: s.bridgeLink.Attrs().Index, Family: netlink.FAMILY_V4, State: netlink.NUD_PERMANENT,
			IP: net.IPv4(10, 99, high, low).To4(), HardwareAddr: net.HardwareAddr{2, 0, 0x5e, 0x0d, high, low},
		})
	}
}

// link is a link of the churn's own.
func (s *stage) link(link netlink.Link, up bool) *thing {
	name := link.Attrs().Name
	return &thing{
		what: "the link " + name,
		add: func() error {
			if err := s.node.LinkAdd(link); err != nil {
				return err
			}
			if up {
				return s.node.LinkSetUp(link)
			}
			return nil
		},
		remove: func() error { return s.node.LinkDel(link) },
		look:   func() (string, error) { return s.lookAtLink(name) },
	}
}

func (s *stage) lookAtLink(name string) (string, error) {
	link, err := s.node.LinkByName(name)
	if _, gone := errors.AsType[netlink.LinkNotFoundError](err); gone {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	a := link.Attrs()
	return fmt.Sprintf("%s %d %s, MAC %s, MTU %d, flags %s, master %d, alias %q",
		link.Type(), a.Index, a.Name, a.HardwareAddr, a.MTU, a.Flags&^net.FlagRunning, a.MasterIndex, a.Alias), nil
}

// pod is a veth pair whose other end is elsewhere; in the node it is a port of the bridge, or there is a route to the pod
// and a neighbour, which go with the link.
func (s *stage) pod(number int, address net.IP, bridged bool) *thing {
	name := fmt.Sprintf("%s%d", podPrefix, number)
	attributes := netlink.NewLinkAttrs()
	attributes.Name = name
	mac := net.HardwareAddr{2, 0, 0x5e, 0x0e, byte(number >> 8), byte(number)}
	attributes.HardwareAddr = mac
	pair := s.link(&netlink.Veth{LinkAttrs: attributes, PeerName: name, PeerNamespace: netlink.NsFd(int(s.podsNS))}, true)
	parts := func(link netlink.Link) []*thing {
		if bridged {
			return nil
		}
		index := link.Attrs().Index
		return []*thing{
			s.route(netlink.Route{
				Dst: network(address, 32), LinkIndex: index, Scope: netlink.SCOPE_LINK, Protocol: unix.RTPROT_BOOT,
				Table: unix.RT_TABLE_MAIN,
			}),
			s.neighbour(netlink.Neigh{
				LinkIndex: index, Family: netlink.FAMILY_V4, State: netlink.NUD_PERMANENT, IP: address.To4(),
				HardwareAddr: mac,
			}),
		}
	}
	var its []*thing
	furnish := func() error {
		link, err := s.node.LinkByName(name)
		if err != nil {
			return err
		}
		if bridged {
			if err := s.node.LinkSetMaster(link, s.bridgeLink); err != nil {
				return err
			}
		}
		its = parts(link)
		for _, part := range its {
			if err := part.add(); err != nil {
				return fmt.Errorf("make %s: %w", part.what, err)
			}
		}
		end, err := s.pods.LinkByName(name)
		if err != nil {
			return err
		}
		return s.pods.LinkSetUp(end)
	}
	return &thing{
		what: "the pod " + name,
		add: func() error {
			if err := pair.add(); err != nil {
				return err
			}
			if err := furnish(); err != nil {
				return errors.Join(err, pair.remove())
			}
			return nil
		},
		remove: pair.remove,
		look: func() (string, error) {
			looks := make([]string, 0, 1+len(its))
			for i, part := range append([]*thing{pair}, its...) {
				look, err := part.look()
				if err != nil {
					return "", err
				}
				if i == 0 && look == "" {
					return "", nil
				}
				looks = append(looks, part.what+": "+look)
			}
			return strings.Join(looks, "; "), nil
		},
	}
}

func (s *stage) route(route netlink.Route) *thing {
	family := netlink.FAMILY_V4
	if route.Dst.IP.To4() == nil {
		family = netlink.FAMILY_V6
	}
	return &thing{
		what:   fmt.Sprintf("the route to %s in table %d", route.Dst, route.Table),
		add:    func() error { return s.node.RouteAdd(&route) },
		remove: func() error { return s.node.RouteDel(&route) },
		look: func() (string, error) {
			routes, err := listed(func() ([]netlink.Route, error) {
				return s.node.RouteListFiltered(family, &netlink.Route{Table: route.Table, Dst: route.Dst},
					netlink.RT_FILTER_TABLE|netlink.RT_FILTER_DST)
			})
			var looks []string
			for _, r := range routes {
				// Without a carrier, a route says so.
				r.Flags &^= unix.RTNH_F_LINKDOWN | unix.RTNH_F_DEAD
				looks = append(looks, fmt.Sprintf("type %d, %s, link %d, protocol %d, metric %d", r.Type, r, r.LinkIndex, r.Protocol, r.Priority))
			}
			return strings.Join(looks, "; "), err
		},
	}
}

func (s *stage) rule(rule *netlink.Rule) *thing {
	same := func(r netlink.Rule) bool {
		return r.Priority == rule.Priority && r.Src != nil && r.Src.String() == rule.Src.String()
	}
	return &thing{
		what:   fmt.Sprintf("the rule %d from %s", rule.Priority, rule.Src),
		add:    func() error { return s.node.RuleAdd(rule) },
		remove: func() error { return s.node.RuleDel(rule) },
		look: func() (string, error) {
			rules, err := listed(func() ([]netlink.Rule, error) { return s.node.RuleList(rule.Family) })
			var looks []string
			for _, r := range rules {
				if same(r) {
					looks = append(looks, fmt.Sprintf("%s protocol %d suppressing %d", r, r.Protocol, r.SuppressPrefixlen))
				}
			}
			return strings.Join(looks, "; "), err
		},
	}
}

func (s *stage) address(link netlink.Link, address *netlink.Addr) *thing {
	return &thing{
		what:   fmt.Sprintf("the address %s of %s", address.IPNet, link.Attrs().Name),
		add:    func() error { return s.node.AddrAdd(link, address) },
		remove: func() error { return s.node.AddrDel(link, address) },
		look: func() (string, error) {
			addresses, err := listed(func() ([]netlink.Addr, error) { return s.node.AddrList(link, netlink.FAMILY_V4) })
			var looks []string
			for _, a := range addresses {
				if a.IP.Equal(address.IP) {
					looks = append(looks, fmt.Sprintf("%s scope %d flags %d lasting %d", a.IPNet, a.Scope, a.Flags, a.ValidLft))
				}
			}
			return strings.Join(looks, "; "), err
		},
	}
}

func (s *stage) neighbour(neighbour netlink.Neigh) *thing {
	return &thing{
		what:   fmt.Sprintf("the neighbour %s", neighbour.IP),
		add:    func() error { return s.node.NeighAdd(&neighbour) },
		remove: func() error { return s.node.NeighDel(&neighbour) },
		look: func() (string, error) {
			neighbours, err := listed(func() ([]netlink.Neigh, error) {
				return s.node.NeighList(neighbour.LinkIndex, netlink.FAMILY_V4)
			})
			var looks []string
			for _, n := range neighbours {
				if n.IP.Equal(neighbour.IP) {
					looks = append(looks, fmt.Sprintf("%s state %d", n.HardwareAddr, n.State))
				}
			}
			return strings.Join(looks, "; "), err
		},
	}
}

func network(address net.IP, length int) *net.IPNet {
	bits := 128
	if four := address.To4(); four != nil {
		address, bits = four, 32
	}
	return &net.IPNet{IP: address, Mask: net.CIDRMask(length, bits)}
}

// hardware is a MAC address that is known to be one.
func hardware(mac string) net.HardwareAddr {
	address, err := net.ParseMAC(mac)
	if err != nil {
		panic(err)
	}
	return address
}
