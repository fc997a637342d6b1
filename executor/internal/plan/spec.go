package plan

import (
	"fmt"
	"net/netip"
)

// Limits of what an interface can be.
const (
	// minBits refuses subnets that would take a large part of the Internet with them; no IPv4 network is larger.
	minBits = 8
	// minMTU is what every IPv4 link must carry (RFC 791); maxMTU is the longest IPv4 packet.
	minMTU, maxMTU = 68, 65535
)

// problem says why a spec cannot be carried out by anyone; empty when it can.
func (s Spec) problem() string {
	if s.MTU != 0 && (s.MTU < minMTU || s.MTU > maxMTU) {
		return fmt.Sprintf("the MTU %d is out of range: ask for %d to %d, or for none", s.MTU, minMTU, maxMTU)
	}
	if s.Address == (netip.Prefix{}) {
		if s.Gateway.IsValid() {
			return fmt.Sprintf("there is a gateway, %s, but no address that could reach it: ask for both or for neither", s.Gateway)
		}
		return ""
	}
	address, subnet := s.Address.Addr(), s.Address.Masked()
	switch kind := unusable(address); {
	case !s.Address.IsValid():
		return "the address has no prefix length that an IPv4 address can have: correct the subnet mask"
	case kind != "":
		return fmt.Sprintf("%s is %s, which no interface can have: choose a host's address", address, kind)
	case subnet.Bits() < minBits:
		return fmt.Sprintf("%s is larger than any network: ask for a prefix length of %d or more", subnet, minBits)
	case isEdge(subnet, address):
		return fmt.Sprintf("%s is the network or broadcast address of %s: choose a host's address", address, subnet)
	case !s.Gateway.IsValid():
		return ""
	}
	switch kind := unusable(s.Gateway); {
	case kind != "":
		return fmt.Sprintf("the gateway %s is %s, which no router has: name the router, or ask for none", s.Gateway, kind)
	case s.Gateway == address:
		return fmt.Sprintf("the gateway %s is the interface's own address: name the router, or ask for none", s.Gateway)
	case !subnet.IsSingleIP() && !subnet.Contains(s.Gateway):
		return fmt.Sprintf("the gateway %s does not lie in %s: correct the gateway or the subnet mask", s.Gateway, subnet)
	case isEdge(subnet, s.Gateway):
		return fmt.Sprintf("the gateway %s is the network or broadcast address of %s: name the router, or ask for none", s.Gateway, subnet)
	}
	return ""
}

// unusable words why no host on a network has an address; empty when one can.
func unusable(address netip.Addr) string {
	switch {
	case !address.Is4():
		return "no IPv4 address"
	case address.As4()[0] == 0:
		return "an address of \"this network\" (0.0.0.0/8)"
	case address.IsLoopback():
		return "a loopback address"
	case address.IsLinkLocalUnicast():
		return "a link-local address (169.254.0.0/16)"
	case address.IsMulticast():
		return "a multicast address"
	case address.As4()[0] >= 240:
		return "a reserved address (240.0.0.0/4)"
	}
	return ""
}

// isEdge says whether an address is a subnet's network or broadcast address. Subnets of one or two addresses have
// neither (RFC 3021).
func isEdge(subnet netip.Prefix, address netip.Addr) bool {
	if subnet.Bits() >= 31 || !subnet.Contains(address) {
		return false
	}
	return address == subnet.Addr() || !subnet.Contains(address.Next())
}
