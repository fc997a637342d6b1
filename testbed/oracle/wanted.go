package oracle

import (
	"cmp"
	"fmt"
	"maps"
	"math/bits"
	"net/netip"
	"slices"
	"strconv"
)

// The layout that docs/architecture.md lays down.
const (
	firstTable  = 0x6d6e0000
	tablesALink = 4096
	sharedTable = 0x6d6dffff
	mainTable   = 254
	ourProtocol = "109"

	prefOwnSubnets  = 25000
	prefMain        = 25001
	prefOwn         = 25002
	prefMainUnbound = 32764
	prefShared      = 32765
)

// settings are those of each interface, in net.ipv4.conf.
func settings() map[string]string {
	return map[string]string{"arp_ignore": "1", "arp_announce": "2", "rp_filter": "2"}
}

// wanted is the text of what rows ask for.
func wanted(rows []Row, expect Expect) ([]string, error) {
	rows = slices.DeleteFunc(slices.Clone(rows), func(r Row) bool {
		return slices.Contains(expect.Without, r.MAC) || slices.Contains(expect.Without, fmt.Sprintf("%s %d", r.MAC, r.VLAN))
	})
	slices.SortFunc(rows, func(a, b Row) int { return cmp.Or(cmp.Compare(a.MAC, b.MAC), cmp.Compare(a.VLAN, b.VLAN)) })
	names := maps.Clone(expect.Names)
	if names == nil {
		names = map[string]string{}
	}
	taken := map[string]bool{}
	for _, name := range names {
		taken[name] = true
	}
	var lines []string
	unbound := false
	for i, row := range rows {
		name, ok := names[row.MAC]
		for n := 0; !ok; n++ {
			if name = "multinic" + strconv.Itoa(n); !taken[name] {
				names[row.MAC], taken[name], ok = name, true, true
			}
		}
		if i == 0 || rows[i-1].MAC != row.MAC {
			// The card's own link is there for any of its rows.
			lines = append(lines, base(name, row.MAC, 0)...)
		}
		its, err := row.lines(name)
		if err != nil {
			return nil, fmt.Errorf("row of %s, VLAN %d: %w", row.MAC, row.VLAN, err)
		}
		lines = append(lines, its...)
		unbound = unbound || row.Address != ""
	}
	if unbound {
		lines = append(lines, rule(prefMainUnbound, "all", mainTable, true), rule(prefShared, "all", sharedTable, false))
	}
	return lines, nil
}

// base is the text of a link that is there and is set up: the card's, or that of a VLAN on top of it.
func base(name, mac string, vlan int) []string {
	lines := []string{link(name, mac, "up", "")}
	if vlan != 0 {
		lines = []string{link(onVLAN(name, vlan), mac, "up", fmt.Sprintf("VLAN %d on %s", vlan, name))}
	}
	for key, value := range settings() {
		lines = append(lines, setting(onVLAN(name, vlan), key, value))
	}
	return lines
}

// onVLAN is the name of the link that has the addresses of a VLAN of a card.
func onVLAN(name string, vlan int) string {
	if vlan == 0 {
		return name
	}
	return fmt.Sprintf("%s.%d", name, vlan)
}

// lines is the text of one row of the card with a name, but for the card's own link.
func (r Row) lines(card string) ([]string, error) {
	var number int
	if _, err := fmt.Sscanf(card, "multinic%d", &number); err != nil {
		return nil, fmt.Errorf("the name %q: %w", card, err)
	}
	name := onVLAN(card, r.VLAN)
	var lines []string
	if r.VLAN != 0 {
		lines = base(card, r.MAC, r.VLAN)
	}
	if r.MTU != 0 {
		lines = append(lines, fmt.Sprintf("mtu %s %d", name, r.MTU))
	}
	if r.Address == "" {
		return lines, nil
	}
	address, err := netip.ParseAddr(r.Address)
	if err != nil {
		return nil, fmt.Errorf("the address: %w", err)
	}
	length, err := prefixLength(r.Mask)
	if err != nil {
		return nil, err
	}
	place := number*tablesALink + r.VLAN
	own := firstTable + place
	lines = append(lines,
		fmt.Sprintf("address %s %s/%d noprefixroute", name, address, length),
		rule(prefOwnSubnets, r.Address, own, true),
		rule(prefMain, r.Address, mainTable, true),
		rule(prefOwn, r.Address, own, false))

	gateway := r.Gateway
	if gateway == "0.0.0.0" {
		gateway = ""
	}
	near := netip.PrefixFrom(address, length).Masked().String()
	if length == address.BitLen() {
		// A subnet of one: what is next to the interface is its gateway alone.
		near = gateway
	}
	if near != "" {
		lines = append(lines,
			route(name, own, near, "", r.Address, 0), route(name, sharedTable, near, "", r.Address, place+1))
	}
	if gateway != "" {
		lines = append(lines, route(name, own, "default", gateway, r.Address, 0))
	}
	return lines, nil
}

// prefixLength reads "24" or "255.255.255.0".
func prefixLength(mask string) (int, error) {
	if length, err := strconv.Atoi(mask); err == nil {
		return length, nil
	}
	address, err := netip.ParseAddr(mask)
	if err != nil {
		return 0, fmt.Errorf("the mask: %w", err)
	}
	length := 0
	for _, octet := range address.AsSlice() {
		length += bits.OnesCount8(octet)
	}
	return length, nil
}

// link words a link; above says on top of what it is, if it is.
func link(name, mac, state, above string) string {
	text := "link " + name + " " + mac + " " + state
	if above != "" {
		text += " " + above
	}
	return text
}

func setting(link, key, value string) string {
	return "setting " + link + " " + key + "=" + value
}

func route(link string, table int, to, via, source string, metric int) string {
	line := fmt.Sprintf("route %s table %d to %s", link, table, to)
	if via != "" {
		line += " via " + via
	}
	return fmt.Sprintf("%s from %s metric %d protocol %s", line, source, metric, ourProtocol)
}

func rule(pref int, from string, table int, suppress bool) string {
	line := fmt.Sprintf("rule %d from %s table %d", pref, from, table)
	if suppress {
		line += " without default"
	}
	return line + " protocol " + ourProtocol
}
