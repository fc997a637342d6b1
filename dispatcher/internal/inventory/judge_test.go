package inventory_test

import (
	"net/netip"
	"strconv"
	"strings"
	"testing"

	"multinic.dev/dispatcher/internal/inventory"
	"multinic.dev/dispatcher/internal/row"
)

const mac = "02:00:5e:00:53:01"

// good is a row that nothing is wrong with.
func good() row.Row {
	return row.Row{
		ID: 1, Node: row.Text("node"), MAC: row.Text(mac), Address: row.Text("192.0.2.10"), Mask: row.Text("255.255.255.0"), Gateway: row.Text("192.0.2.1"),
		DNS: row.Text("198.51.100.1, 198.51.100.2"), VLAN: row.Text("0"), MTU: row.Null(), UpdatedAt: row.Text("2026-01-01 00:00:00"),
	}
}

func addresses(texts ...string) []netip.Addr {
	var all []netip.Addr
	for _, text := range texts {
		all = append(all, netip.MustParseAddr(text))
	}

	return all
}

func TestWhatARowAsksFor(t *testing.T) {
	full := inventory.Spec{
		Address: netip.MustParsePrefix("192.0.2.10/24"), Gateway: netip.MustParseAddr("192.0.2.1"), DNS: addresses("198.51.100.1", "198.51.100.2"),
	}
	with := func(change func(*inventory.Spec)) inventory.Spec {
		spec := full
		change(&spec)

		return spec
	}
	for _, test := range []struct {
		name   string
		change func(*row.Row)
		key    inventory.Key
		spec   inventory.Spec
	}{
		{"all columns", func(*row.Row) {}, inventory.Key{MAC: mac}, full},
		{"a prefix length", func(r *row.Row) { r.Mask = row.Text("24") }, inventory.Key{MAC: mac}, full},
		{"blanks around", func(r *row.Row) { r.Address, r.Mask = row.Text(" 192.0.2.10\t"), row.Text(" 24 ") }, inventory.Key{MAC: mac}, full},
		{"MAC in upper case", func(r *row.Row) { r.MAC = row.Text("02:00:5E:00:53:01") }, inventory.Key{MAC: mac}, full},
		{"MAC with dashes", func(r *row.Row) { r.MAC = row.Text("02-00-5E-00-53-01") }, inventory.Key{MAC: mac}, full},
		{"MAC with dots", func(r *row.Row) { r.MAC = row.Text("0200.5e00.5301") }, inventory.Key{MAC: mac}, full},
		{"MAC bare", func(r *row.Row) { r.MAC = row.Text("02005e005301") }, inventory.Key{MAC: mac}, full},
		{"VLAN", func(r *row.Row) { r.VLAN = row.Text("4094") }, inventory.Key{MAC: mac, VLAN: 4094}, full},
		{"VLAN NULL", func(r *row.Row) { r.VLAN = row.Null() }, inventory.Key{MAC: mac}, full},
		{"MTU", func(r *row.Row) { r.MTU = row.Text("9000") }, inventory.Key{MAC: mac}, with(func(s *inventory.Spec) { s.MTU = 9000 })},
		{"MTU 0", func(r *row.Row) { r.MTU = row.Text("0") }, inventory.Key{MAC: mac}, full},
		{"no gateway", func(r *row.Row) { r.Gateway = row.Null() }, inventory.Key{MAC: mac}, with(func(s *inventory.Spec) { s.Gateway = netip.Addr{} })},
		{"gateway 0.0.0.0", func(r *row.Row) { r.Gateway = row.Text("0.0.0.0") }, inventory.Key{MAC: mac}, with(func(s *inventory.Spec) { s.Gateway = netip.Addr{} })},
		{"no DNS", func(r *row.Row) { r.DNS = row.Text(" , ") }, inventory.Key{MAC: mac}, with(func(s *inventory.Spec) { s.DNS = nil })},
		{"DNS by blanks", func(r *row.Row) { r.DNS = row.Text("198.51.100.1 198.51.100.2") }, inventory.Key{MAC: mac}, full},
		{"/31", func(r *row.Row) { r.Mask, r.Gateway = row.Text("31"), row.Text("192.0.2.11") }, inventory.Key{MAC: mac}, with(func(s *inventory.Spec) {
			s.Address, s.Gateway = netip.MustParsePrefix("192.0.2.10/31"), netip.MustParseAddr("192.0.2.11")
		})},
		{"/32 with a gateway beside it", func(r *row.Row) { r.Mask = row.Text("255.255.255.255") }, inventory.Key{MAC: mac}, with(func(s *inventory.Spec) {
			s.Address = netip.MustParsePrefix("192.0.2.10/32")
		})},
		{"no address", func(r *row.Row) { r.Address = row.Text("") }, inventory.Key{MAC: mac}, inventory.Spec{}},
		{"nothing but a MAC", func(r *row.Row) {
			*r = row.Row{ID: 1, Node: r.Node, MAC: r.MAC, Address: row.Null(), Mask: row.Null(), Gateway: row.Null()}
		},
			inventory.Key{MAC: mac}, inventory.Spec{}},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := good()
			test.change(&r)
			items, verdicts := inventory.Judge([]row.Row{r})
			if len(items) != 1 || len(verdicts) != 1 || verdicts[0] != (inventory.Verdict{Row: 1, Key: test.key}) {
				t.Fatalf("items %v, verdicts %+v", items, verdicts)
			}
			got := items[0]
			if got.Key != test.key || !sameSpec(got.Spec, test.spec) || len(got.Revision) != 16 || len(got.Rows) != 1 || got.Rows[0] != 1 {
				t.Errorf("item %+v, want key %+v and spec %+v", got, test.key, test.spec)
			}
		})
	}
}

func sameSpec(a, b inventory.Spec) bool {
	if len(a.DNS) != len(b.DNS) || a.Address != b.Address || a.Gateway != b.Gateway || a.MTU != b.MTU {
		return false
	}
	for i := range a.DNS {
		if a.DNS[i] != b.DNS[i] {
			return false
		}
	}

	return true
}

func TestARefusedRowSaysWhichColumnAndValueAndWhatToDo(t *testing.T) {
	mac := func(text string) func(*row.Row) { return func(r *row.Row) { r.MAC = row.Text(text) } }
	address := func(text string) func(*row.Row) { return func(r *row.Row) { r.Address = row.Text(text) } }
	mask := func(text string) func(*row.Row) { return func(r *row.Row) { r.Mask = row.Text(text) } }
	gateway := func(text string) func(*row.Row) { return func(r *row.Row) { r.Gateway = row.Text(text) } }
	dns := func(text string) func(*row.Row) { return func(r *row.Row) { r.DNS = row.Text(text) } }
	vlan := func(text string) func(*row.Row) { return func(r *row.Row) { r.VLAN = row.Text(text) } }
	mtu := func(text string) func(*row.Row) { return func(r *row.Row) { r.MTU = row.Text(text) } }
	const (
		noMAC     = ": that is no MAC address: write it like 02:00:5e:00:53:01"
		noAddress = ": that is no IPv4 address: write it like 192.0.2.10, or leave it empty for none"
		noMask    = ": that is no mask: write it like 255.255.255.0 or 24"
		noVLAN    = "write 1 to 4094, or 0 or NULL for none"
		noMTU     = "write 68 to 65535, or 0 or NULL to leave it as it is"
	)
	for _, test := range []struct {
		change func(*row.Row)
		want   string
	}{
		{mac(""), `mac_address is empty: a row needs one, such as 02:00:5e:00:53:01`},
		{func(r *row.Row) { r.MAC = row.Null() }, `mac_address is empty: a row needs one, such as 02:00:5e:00:53:01`},
		{mac("02:00:5e:00:53"), `mac_address "02:00:5e:00:53"` + noMAC},
		{mac("02:00:5e:00:53:0g"), `mac_address "02:00:5e:00:53:0g"` + noMAC},
		{mac("02:00-5e:00:53:01"), `mac_address "02:00-5e:00:53:01"` + noMAC},
		{mac("02:00:5e:00:53:01\n"), `mac_address "02:00:5e:00:53:01\n"` + noMAC},
		{mac("02:00:5e:00:53:01\x00"), `mac_address "02:00:5e:00:53:01\x00"` + noMAC},
		{mac("'; DROP TABLE x;--"), `mac_address "'; DROP TABLE x;--"` + noMAC},
		{mac("\U0001F4A3"), "mac_address \"\U0001F4A3\"" + noMAC},
		{mac("01:00:5e:00:00:01"), `mac_address "01:00:5e:00:00:01": that is a group's address (multicast or broadcast), which no NIC has`},
		{mac("ff:ff:ff:ff:ff:ff"), `mac_address "ff:ff:ff:ff:ff:ff": that is a group's address (multicast or broadcast), which no NIC has`},
		{mac("00:00:00:00:00:00"), `mac_address "00:00:00:00:00:00": no NIC has the address of zeros`},
		{address("192.0.2.256"), `ip_address "192.0.2.256"` + noAddress},
		{address("192.0.2.010"), `ip_address "192.0.2.010"` + noAddress},
		{address("192.0.2.10/24"), `ip_address "192.0.2.10/24"` + noAddress},
		{address("2001:db8::1"), `ip_address "2001:db8::1"` + noAddress},
		{address("::ffff:192.0.2.1"), `ip_address "::ffff:192.0.2.1"` + noAddress},
		{address("$(reboot)"), `ip_address "$(reboot)"` + noAddress},
		{address("192.0.2.10\nnameserver 203.0.113.1"), `ip_address "192.0.2.10\nnameserver 203.0.113.1"` + noAddress},
		{address("0.0.0.0"), `ip_address "0.0.0.0": that is an address of "this network" (0.0.0.0/8), which no host on a network has`},
		{address("127.0.0.1"), `ip_address "127.0.0.1": that is a loopback address, which no host on a network has`},
		{address("169.254.169.254"), `ip_address "169.254.169.254": that is a link-local address (169.254.0.0/16), which no host on a network has`},
		{address("224.0.0.1"), `ip_address "224.0.0.1": that is a multicast address, which no host on a network has`},
		{address("255.255.255.255"), `ip_address "255.255.255.255": that is a reserved address (240.0.0.0/4), which no host on a network has`},
		{address("192.0.2.0"), `ip_address "192.0.2.0": that is 192.0.2.0/24's network or broadcast address: choose a host's address`},
		{address("192.0.2.255"), `ip_address "192.0.2.255": that is 192.0.2.0/24's network or broadcast address: choose a host's address`},
		{mask(""), `subnet_mask is empty: an address needs one, such as 255.255.255.0 or 24`},
		{mask("255.0.255.0"), `subnet_mask "255.0.255.0": its ones are not all at the front: write it like 255.255.255.0 or 24`},
		{mask("0.0.0.255"), `subnet_mask "0.0.0.255": its ones are not all at the front: write it like 255.255.255.0 or 24`},
		{mask("x"), `subnet_mask "x"` + noMask},
		{mask("+24"), `subnet_mask "+24"` + noMask},
		{mask("/24"), `subnet_mask "/24"` + noMask},
		{mask("99999999999999999999"), `subnet_mask "99999999999999999999"` + noMask},
		{mask("33"), `subnet_mask "33": the prefix must have 8 to 32 bits`},
		{mask("-1"), `subnet_mask "-1": the prefix must have 8 to 32 bits`},
		{mask("1"), `subnet_mask "1": the prefix must have 8 to 32 bits`},
		{mask("128.0.0.0"), `subnet_mask "128.0.0.0": the prefix must have 8 to 32 bits`},
		{mask("0.0.0.0"), `subnet_mask "0.0.0.0": the prefix must have 8 to 32 bits`},
		{gateway("gw"), `gateway "gw"` + noAddress},
		{gateway("203.0.113.1"), `gateway "203.0.113.1": it does not lie in 192.0.2.0/24: correct gateway or subnet_mask, or leave gateway empty`},
		{gateway("192.0.2.10"), `gateway "192.0.2.10": that is the row's own address: name the router, or leave it empty`},
		{gateway("192.0.2.255"), `gateway "192.0.2.255": that is 192.0.2.0/24's network or broadcast address: name the router, or leave it empty`},
		{gateway("127.0.0.1"), `gateway "127.0.0.1": that is a loopback address, which no host on a network has`},
		{dns("198.51.100.1;198.51.100.2"), `dns "198.51.100.1;198.51.100.2"` + noAddress},
		{dns("198.51.100.1, ns.example.com"), `dns "ns.example.com"` + noAddress},
		{dns("198.51.100.1\n198.51.100.2"), `dns "198.51.100.1\n198.51.100.2"` + noAddress},
		{dns("8.8.8.8,8.8.8.8,8.8.8.8,8.8.8.8,8.8.8.8,8.8.8.8,8.8.8.8,8.8.8.8,8.8.8.8,8.8.8.8,8.8.8.8,8.8.8.8,8.8.8.8,8.8.8.8,8.8.8.8,8.8.8.8,8.8.8.8"),
			`dns "8.8.8.8,8.8.8.8,8.8.8.8,8.8.8.8,8.8.8.8,8.8.8.8,8.8.8.8,8.8.8.8,…": more than 16 servers`},
		{vlan("4095"), `vlan "4095": that is out of range: ` + noVLAN},
		{vlan("-1"), `vlan "-1": that is out of range: ` + noVLAN},
		{vlan("99999999999999999999"), `vlan "99999999999999999999": that is out of range: ` + noVLAN},
		{vlan("1.5"), `vlan "1.5": that is no number: ` + noVLAN},
		{vlan("0x10"), `vlan "0x10": that is no number: ` + noVLAN},
		{mtu("67"), `mtu "67": that is out of range: ` + noMTU},
		{mtu("65536"), `mtu "65536": that is out of range: ` + noMTU},
		{mtu("jumbo"), `mtu "jumbo": that is no number: ` + noMTU},
		{address(strings.Repeat("x", 4096)), `ip_address "` + strings.Repeat("x", 64) + `…"` + noAddress},
	} {
		t.Run(test.want, func(t *testing.T) {
			bad, other := good(), good()
			other.ID, other.MAC, other.Address = 2, row.Text("02:00:5e:00:53:02"), row.Text("192.0.2.11")
			test.change(&bad)
			items, verdicts := inventory.Judge([]row.Row{bad, other})
			if len(verdicts) != 2 || verdicts[0].Outcome != inventory.Refused || verdicts[0].Message != test.want {
				t.Errorf("verdicts %+v\nwant %s", verdicts, test.want)
			}
			if len(items) != 1 || items[0].Key.MAC != "02:00:5e:00:53:02" || verdicts[1].Outcome != inventory.Accepted {
				t.Errorf("the good row beside it: items %+v, verdicts %+v", items, verdicts)
			}
		})
	}
}

func TestEqualRowsAreOneItemAndUnequalOnesAConflict(t *testing.T) {
	same := good()
	same.ID, same.MAC, same.Mask = 2, row.Text("02-00-5E-00-53-01"), row.Text("24")
	items, verdicts := inventory.Judge([]row.Row{good(), same})
	if len(items) != 1 || len(items[0].Rows) != 2 || verdicts[0].Outcome != inventory.Accepted || verdicts[1].Outcome != inventory.Accepted {
		t.Errorf("equal rows: items %+v, verdicts %+v", items, verdicts)
	}
	for name, change := range map[string]func(*row.Row){
		"another address": func(r *row.Row) { r.Address = row.Text("192.0.2.11") },
		"a typo":          func(r *row.Row) { r.Address = row.Text("192.0.2.1x") },
	} {
		other := good()
		other.ID = 2
		change(&other)
		items, verdicts = inventory.Judge([]row.Row{good(), other})
		want := "rows 1, 2 ask for different things under mac_address " + mac + " and vlan 0: keep one of them"
		if len(items) != 0 || verdicts[0] != (inventory.Verdict{Row: 1, Outcome: inventory.Conflict, Message: want, Key: inventory.Key{MAC: mac}}) ||
			verdicts[1].Outcome == inventory.Accepted {
			t.Errorf("%s: items %+v, verdicts %+v", name, items, verdicts)
		}
	}
	tagged := good()
	tagged.ID, tagged.VLAN, tagged.Address = 2, row.Text("7"), row.Text("192.0.2.11")
	if items, _ = inventory.Judge([]row.Row{good(), tagged}); len(items) != 2 {
		t.Errorf("one MAC with two VLANs: items %+v", items)
	}
}

func TestTheRevisionIsThatOfTheContentAlone(t *testing.T) {
	revision := func(change func(*row.Row)) string {
		r := good()
		change(&r)
		items, _ := inventory.Judge([]row.Row{r})

		return items[0].Revision
	}
	// A literal: dispatchers of different builds of one version must agree.
	was := revision(func(*row.Row) {})
	if was != "e05058bc14d15a8a" {
		t.Errorf("the revision of the same content has become %s", was)
	}
	if revision(func(r *row.Row) { r.ID, r.UpdatedAt, r.Committed, r.Mask = 77, row.Null(), true, row.Text("24") }) != was {
		t.Error("the revision depends on more than what the node should have")
	}
	for name, change := range map[string]func(*row.Row){
		"MAC": func(r *row.Row) { r.MAC = row.Text("02:00:5e:00:53:02") }, "address": func(r *row.Row) { r.Address = row.Text("192.0.2.11") },
		"mask": func(r *row.Row) { r.Mask = row.Text("25") }, "gateway": func(r *row.Row) { r.Gateway = row.Text("192.0.2.2") },
		"DNS": func(r *row.Row) { r.DNS = row.Text("198.51.100.2 198.51.100.1") }, "VLAN": func(r *row.Row) { r.VLAN = row.Text("1") },
		"MTU": func(r *row.Row) { r.MTU = row.Text("1400") },
	} {
		if revision(change) == was {
			t.Errorf("another %s has the same revision", name)
		}
	}
}

func TestMoreInterfacesThanAPictureHoldsAreRefused(t *testing.T) {
	var rows []row.Row
	for i := range inventory.MaxItems + 1 {
		r := good()
		r.ID, r.VLAN = int64(i+1), row.Text(strconv.Itoa(i))
		rows = append(rows, r)
	}
	items, verdicts := inventory.Judge(rows)
	last := verdicts[inventory.MaxItems]
	if len(items) != inventory.MaxItems || last.Outcome != inventory.Refused || !strings.HasPrefix(last.Message, "the node has more than 64 interfaces") ||
		verdicts[0].Outcome != inventory.Accepted {
		t.Errorf("%d items, last verdict %+v", len(items), last)
	}
}

// FuzzJudge: whatever stands in a row, it is refused with a reason of one line, or it is work that a node can have.
func FuzzJudge(f *testing.F) {
	g := good()
	f.Add(g.MAC.Text, g.Address.Text, g.Mask.Text, g.Gateway.Text, g.DNS.Text, g.VLAN.Text, g.MTU.Text)
	f.Add("02-00-5E-00-53-01", "192.0.2.10", "32", "0.0.0.0", "", "4094", "68")
	f.Add("0200.5e00.5301", "", "", "", "1.1.1.1 1.1.1.2", "", "")
	f.Fuzz(func(t *testing.T, mac, address, mask, gateway, dns, vlan, mtu string) {
		items, verdicts := inventory.Judge([]row.Row{{
			ID: 1, Node: row.Text("node"), MAC: row.Text(mac), Address: row.Text(address), Mask: row.Text(mask), Gateway: row.Text(gateway),
			DNS: row.Text(dns), VLAN: row.Text(vlan), MTU: row.Text(mtu),
		}})
		if len(verdicts) != 1 {
			t.Fatalf("verdicts %+v", verdicts)
		}
		if len(items) == 0 {
			if v := verdicts[0]; v.Outcome != inventory.Refused || v.Message == "" || strings.ContainsAny(v.Message, "\r\n\x00") {
				t.Errorf("verdict %+v", v)
			}

			return
		}
		spec := items[0].Spec
		switch {
		case len(items[0].Key.MAC) != 17 || strings.Trim(items[0].Key.MAC, "0123456789abcdef:") != "":
			t.Errorf("MAC %q", items[0].Key.MAC)
		case items[0].Key.VLAN < 0 || items[0].Key.VLAN > 4094 || spec.MTU < 0 || spec.MTU > 65535:
			t.Errorf("VLAN %d, MTU %d", items[0].Key.VLAN, spec.MTU)
		case spec.Address.IsValid() && (!spec.Address.Addr().Is4() || spec.Address.Bits() < 8):
			t.Errorf("address %v", spec.Address)
		case spec.Gateway.IsValid() && (!spec.Address.IsValid() || spec.Gateway == spec.Address.Addr() || spec.Address.Bits() < 32 && !spec.Address.Contains(spec.Gateway)):
			t.Errorf("gateway %v of %v", spec.Gateway, spec.Address)
		}
	})
}
