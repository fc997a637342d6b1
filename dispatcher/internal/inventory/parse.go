package inventory

import (
	"encoding/hex"
	"errors"
	"fmt"
	"math/bits"
	"net/netip"
	"strconv"
	"strings"
	"unicode/utf8"

	"multinic.dev/dispatcher/internal/row"
)

// The limits of what a row may ask for.
const (
	maxVLAN = 4094
	// minMTU is what every IPv4 link must carry (RFC 791); maxMTU is the largest IPv4 packet.
	minMTU = 68
	maxMTU = 65535
	// minPrefix: anything shorter would swallow whole parts of the Internet.
	minPrefix = 8
	// maxDNS is far more than any resolver asks; it bounds what one row makes of a picture.
	maxDNS = 16
	// maxQuoted is how many bytes of a bad value a message repeats.
	maxQuoted = 64
)

// columnError says which column of a row cannot be used, and why.
type columnError struct {
	column, value, problem string
}

func (e *columnError) Error() string {
	if e.value == "" {
		return e.column + " is empty: " + e.problem
	}
	value := e.value
	if len(value) > maxQuoted {
		value = beginning(value) + "…"
	}

	return fmt.Sprintf("%s %q: %s", e.column, value, e.problem)
}

// beginning is as much of a long value as a message repeats. It ends between two characters, or in the middle of what is none.
func beginning(value string) string {
	for end := maxQuoted; end > maxQuoted-utf8.UTFMax; end-- {
		if utf8.RuneStart(value[end]) {
			return value[:end]
		}
	}

	return value[:maxQuoted]
}

// parse reads all columns of a row. The key is valid as soon as mac_address and vlan can be read, whatever the rest holds.
func parse(r row.Row) (Key, Spec, error) {
	key, err := parseKey(r)
	if err != nil {
		return Key{}, Spec{}, err
	}
	spec, err := parseSpec(r)

	return key, spec, err
}

func parseKey(r row.Row) (Key, error) {
	mac, err := parseMAC(text(r.MAC))
	if err != nil {
		return Key{}, err
	}
	vlan, err := parseNumber("vlan", text(r.VLAN), 1, maxVLAN, "write 1 to 4094, or 0 or NULL for none")

	return Key{MAC: mac, VLAN: vlan}, err
}

func parseSpec(r row.Row) (Spec, error) {
	var spec Spec
	address, err := parseAddress("ip_address", text(r.Address))
	if err != nil {
		return Spec{}, err
	}
	length, err := parseMask(text(r.Mask))
	if err != nil {
		return Spec{}, err
	}
	gateway, err := parseGateway(text(r.Gateway))
	if err != nil {
		return Spec{}, err
	}
	dns, err := parseDNS(text(r.DNS))
	if err != nil {
		return Spec{}, err
	}
	if spec.MTU, err = parseNumber("mtu", text(r.MTU), minMTU, maxMTU, "write 68 to 65535, or 0 or NULL to leave it as it is"); err != nil {
		return Spec{}, err
	}
	if !address.IsValid() {
		return spec, nil // Named and brought up, nothing more.
	}
	if length == 0 {
		return Spec{}, &columnError{column: "subnet_mask", problem: "an address needs one, such as 255.255.255.0 or 24"}
	}
	spec.Address, spec.Gateway, spec.DNS = netip.PrefixFrom(address, length), gateway, dns

	return spec, checkSubnet(r, spec)
}

// checkSubnet refuses an address or a gateway that no host can have in its subnet.
func checkSubnet(r row.Row, spec Spec) error {
	subnet := spec.Address.Masked()
	switch address := spec.Address.Addr(); {
	case isEdge(subnet, address):
		return &columnError{"ip_address", text(r.Address), fmt.Sprintf("that is %s's network or broadcast address: choose a host's address", subnet)}
	case !spec.Gateway.IsValid():
		return nil
	case spec.Gateway == address:
		return &columnError{"gateway", text(r.Gateway), "that is the row's own address: name the router, or leave it empty"}
	case subnet.Bits() < address.BitLen() && !subnet.Contains(spec.Gateway):
		return &columnError{"gateway", text(r.Gateway), fmt.Sprintf("it does not lie in %s: correct gateway or subnet_mask, or leave gateway empty", subnet)}
	case isEdge(subnet, spec.Gateway):
		return &columnError{"gateway", text(r.Gateway), fmt.Sprintf("that is %s's network or broadcast address: name the router, or leave it empty", subnet)}
	}

	return nil
}

// isEdge says whether an address is the network's own or its broadcast address. Subnets of one or two addresses have neither
// (RFC 3021).
func isEdge(subnet netip.Prefix, address netip.Addr) bool {
	if subnet.Bits() >= 31 || !subnet.Contains(address) {
		return false
	}

	return address == subnet.Addr() || !subnet.Contains(address.Next())
}

// text is a column's value without blanks around it; NULL is empty.
func text(v row.Value) string { return strings.Trim(v.Text, " \t") }

// parseMAC reads the common notations, 02:00:5e:00:53:01, 02-00-5E-00-53-01, 0200.5e00.5301 and 02005e005301, and returns the
// first.
func parseMAC(value string) (string, error) {
	bad := func(problem string) (string, error) {
		return "", &columnError{"mac_address", value, problem}
	}
	if value == "" {
		return bad("a row needs one, such as 02:00:5e:00:53:01")
	}
	digits := value
	switch {
	case len(value) == 17 && (separated(value, ':', 2) || separated(value, '-', 2)), len(value) == 14 && separated(value, '.', 4):
		digits = strings.NewReplacer(":", "", "-", "", ".", "").Replace(value)
	}
	octets, err := hex.DecodeString(digits)
	switch {
	case err != nil || len(octets) != 6:
		return bad("that is no MAC address: write it like 02:00:5e:00:53:01")
	case octets[0]&1 != 0:
		return bad("that is a group's address (multicast or broadcast), which no NIC has")
	case [6]byte(octets) == [6]byte{}:
		return bad("no NIC has the address of zeros")
	}

	return fmt.Sprintf("%02x:%02x:%02x:%02x:%02x:%02x", octets[0], octets[1], octets[2], octets[3], octets[4], octets[5]), nil
}

// separated says whether a separator stands after each group of so many characters, and nowhere else.
func separated(value string, separator byte, group int) bool {
	for i := range len(value) {
		if (value[i] == separator) != (i%(group+1) == group) {
			return false
		}
	}

	return true
}

// parseNumber reads a decimal number; empty and 0 are 0.
func parseNumber(column, value string, low, high int, remedy string) (int, error) {
	if value == "" {
		return 0, nil
	}
	number, err := strconv.Atoi(value)
	switch {
	case errors.Is(err, strconv.ErrSyntax) || strings.HasPrefix(value, "+"):
		return 0, &columnError{column, value, "that is no number: " + remedy}
	case err != nil || number != 0 && (number < low || number > high):
		return 0, &columnError{column, value, "that is out of range: " + remedy}
	}

	return number, nil
}

// parseAddress reads the IPv4 address of a host; empty is the invalid address.
func parseAddress(column, value string) (netip.Addr, error) {
	if value == "" {
		return netip.Addr{}, nil
	}
	address, err := netip.ParseAddr(value)
	if err != nil || !address.Is4() {
		return netip.Addr{}, &columnError{column, value, "that is no IPv4 address: write it like 192.0.2.10, or leave it empty for none"}
	}
	if kind := unusable(address); kind != "" {
		return netip.Addr{}, &columnError{column, value, "that is " + kind + ", which no host on a network has"}
	}

	return address, nil
}

// unusable says of what kind an address is that no host has (RFC 6890), or nothing.
func unusable(address netip.Addr) string {
	switch first := address.As4()[0]; {
	case first == 0:
		return "an address of \"this network\" (0.0.0.0/8)"
	case address.IsLoopback():
		return "a loopback address"
	case address.IsLinkLocalUnicast():
		return "a link-local address (169.254.0.0/16)"
	case address.IsMulticast():
		return "a multicast address"
	case first >= 240:
		return "a reserved address (240.0.0.0/4)"
	}

	return ""
}

// parseGateway is parseAddress, where 0.0.0.0 too says that there is none.
func parseGateway(value string) (netip.Addr, error) {
	if value == "0.0.0.0" {
		return netip.Addr{}, nil
	}

	return parseAddress("gateway", value)
}

// parseMask reads 255.255.255.0 or 24 and returns the length; empty is 0.
func parseMask(value string) (int, error) {
	if value == "" {
		return 0, nil
	}
	bad := func(problem string) (int, error) {
		return 0, &columnError{"subnet_mask", value, problem}
	}
	length, err := strconv.Atoi(value)
	if mask, dotted := netip.ParseAddr(value); dotted == nil && mask.Is4() {
		octets := mask.As4()
		number := uint32(octets[0])<<24 | uint32(octets[1])<<16 | uint32(octets[2])<<8 | uint32(octets[3])
		length, err = bits.OnesCount32(number), nil
		if bits.LeadingZeros32(^number) != length {
			return bad("its ones are not all at the front: write it like 255.255.255.0 or 24")
		}
	}
	switch {
	case err != nil || strings.HasPrefix(value, "+"):
		return bad("that is no mask: write it like 255.255.255.0 or 24")
	case length < minPrefix || length > 32:
		return bad("the prefix must have 8 to 32 bits")
	}

	return length, nil
}

// parseDNS reads addresses that commas or blanks separate.
func parseDNS(value string) ([]netip.Addr, error) {
	var servers []netip.Addr
	for _, one := range strings.FieldsFunc(value, func(r rune) bool { return r == ',' || r == ' ' || r == '\t' }) {
		server, err := parseAddress("dns", one)
		if err != nil {
			return nil, err
		}
		servers = append(servers, server)
	}
	if len(servers) > maxDNS {
		return nil, &columnError{"dns", value, fmt.Sprintf("more than %d servers", maxDNS)}
	}

	return servers, nil
}
