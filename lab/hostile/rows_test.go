package hostile_test

import (
	"fmt"
	"strings"
)

// nodeName is the node that all rows are of which do not say otherwise.
const nodeName = "node-1"

// mac is the address of a card that the node has.
func mac(card int) string { return fmt.Sprintf("02:00:5e:10:01:%02x", card) }

// The cards beside those that become interfaces, 0 to 9.
const (
	ownCard      = "02:00:5e:10:00:ff" // eth0, by which the node is reached
	secondCard   = "02:00:5e:10:01:20" // to get an address that another card gets
	swallowCard  = "02:00:5e:10:01:21" // to get a subnet around the node's own address
	addressCard  = "02:00:5e:10:01:22" // to get the node's own address
	baitCard     = "02:00:5e:10:01:23" // has rows of which none can be used
	eleventhCard = "02:00:5e:10:01:24" // to become the eleventh interface
)

// The rows that are named elsewhere.
const (
	liveRow    = 1001 // of card 0, which nothing else names
	witnessRow = 1002
)

// mostItems is how many interfaces a node can have in one picture.
const mostItems = 64

// table is all rows, and all that becomes of each.
func table() []hostile {
	const (
		noMAC     = `: that is no MAC address: write it like 02:00:5e:00:53:01`
		group     = `: that is a group's address (multicast or broadcast), which no NIC has`
		noAddress = `: that is no IPv4 address: write it like 192.0.2.10, or leave it empty for none`
		edge      = `: that is 198.51.100.0/24's network or broadcast address: `
		noHost    = `, which no host on a network has`
		noMask    = `: that is no mask: write it like 255.255.255.0 or 24`
		holes     = `: its ones are not all at the front: write it like 255.255.255.0 or 24`
		bits      = `: the prefix must have 8 to 32 bits`
		vlanRange = `: that is out of range: write 1 to 4094, or 0 or NULL for none`
		vlanText  = `: that is no number: write 1 to 4094, or 0 or NULL for none`
		mtuRange  = `: that is out of range: write 68 to 65535, or 0 or NULL to leave it as it is`
		mtuText   = `: that is no number: write 68 to 65535, or 0 or NULL to leave it as it is`
		drop      = `'; DROP TABLE multi_interface; -- `
		yaml      = "x\n      dhcp4: true # \"{[&*!|>%@"
		yamlQuote = `x\n      dhcp4: true # \"{[&*!|>%@`
		shell     = "`reboot`; $(reboot) | tee ../../etc/passwd && \\"
		shellText = "`reboot`; $(reboot) | tee ../../etc/passwd && \\\\"
		bomb      = "\U0001F4A3\u2028\u202e" // of four bytes, of which a line can be broken, by which it is written backwards
		bombText  = "\U0001F4A3" + `\u2028\u202e`
		notText   = "\xf0\x9f\x92\xff\xc0\x80"
		notTextIs = `\xf0\x9f\x92\xff\xc0\x80`
	)
	long, longer := strings.Repeat("9", 5000), strings.Repeat("1", 1<<20)
	longText := strings.Repeat("9", 64) + "…"
	in := func(column, what, text, message string) hostile {
		return hostile{what: column + ": " + what, cells: cells{column: text}, want: "refused: " + column + " " + message}
	}
	elsewhere := func(what, name, want string) hostile {
		// The card is one of the node's, and the address another: a row that were taken for the node's would be in the way of its own.
		return hostile{what: "attached_node_name: " + what, want: want, cells: cells{
			"attached_node_name": name, "mac_address": mac(1), "ip_address": "10.66.0.10", "gateway": null, "dns": "",
		}}
	}
	const nameless = `: refused: attached_node_name is empty: write the node's name`
	const theirs = `accepted as 02:00:5e:10:01:01 10.66.0.10/24`
	waits := func(mac string) string {
		return `WAITING_FOR_LINK LINK_NOT_FOUND: no NIC of this node has the MAC address ` + mac + `: attach it, or correct the MAC address`
	}

	rows := []hostile{
		// Good rows, however oddly they are written.
		{what: "nothing odd", id: liveRow, cells: cells{"mac_address": mac(0), "ip_address": "10.1.0.10", "gateway": "10.1.0.1", "mtu": "1500"},
			want: `accepted as 02:00:5e:10:01:00 10.1.0.10/24 via 10.1.0.1 dns 203.0.113.53 mtu 1500, READY`},
		{what: "dashes, upper case, blanks, a flag of 2", cells: cells{
			"mac_address": " 02-00-5E-10-01-01\t", "ip_address": " 10.1.1.10 ", "subnet_mask": "\t24 ", "gateway": "10.1.1.1", "netplan_success": "2"},
			want: `accepted as 02:00:5e:10:01:01 10.1.1.10/24 via 10.1.1.1 dns 203.0.113.53, READY`},
		{what: "dots, a gateway that is none, a flag of -1", cells: cells{
			"mac_address": "0200.5E10.0102", "ip_address": "10.1.2.10", "gateway": "0.0.0.0", "netplan_success": "-1"},
			want: `accepted as 02:00:5e:10:01:02 10.1.2.10/24 dns 203.0.113.53, READY`},
		{what: "bare digits, /31, a flag of NULL", cells: cells{
			"mac_address": "02005E100103", "ip_address": "10.1.3.0", "subnet_mask": "255.255.255.254", "gateway": "10.1.3.1", "netplan_success": null},
			want: `accepted as 02:00:5e:10:01:03 10.1.3.0/31 via 10.1.3.1 dns 203.0.113.53, READY`},
		{what: "upper case, /32, a date of zeros", cells: cells{
			"mac_address": "02:00:5E:10:01:04", "ip_address": "10.1.4.255", "subnet_mask": "32", "gateway": "10.77.0.1", "updated_at": "0000-00-00 00:00:00"},
			want: `accepted as 02:00:5e:10:01:04 10.1.4.255/32 via 10.77.0.1 dns 203.0.113.53, READY`},
		{what: "one of two that say the same", cells: cells{"mac_address": mac(5), "ip_address": "10.1.5.10", "gateway": ""},
			want: `accepted as 02:00:5e:10:01:05 10.1.5.10/24 dns 203.0.113.53, READY`},
		{what: "the other", cells: cells{
			"mac_address": "02-00-5e-10-01-05", "ip_address": "10.1.5.10", "subnet_mask": "0024", "gateway": "0.0.0.0", "dns": " ,203.0.113.53, ", "vlan": "000"},
			want: `accepted as 02:00:5e:10:01:05 10.1.5.10/24 dns 203.0.113.53, READY`},
		{what: "nothing but a MAC", cells: cells{
			"mac_address": mac(6), "ip_address": null, "subnet_mask": null, "gateway": null, "dns": null, "vlan": null, "updated_at": null, "created_at": null},
			want: `accepted as 02:00:5e:10:01:06, READY`},
		{what: "the lowest id, an MTU, servers by commas and blanks", id: -1 << 63, cells: cells{
			"mac_address": mac(7), "ip_address": "10.1.7.10", "gateway": "10.1.7.1", "dns": "203.0.113.53,203.0.113.54\t203.0.113.55", "vlan": "", "mtu": "1400"},
			want: `accepted as 02:00:5e:10:01:07 10.1.7.10/24 via 10.1.7.1 dns 203.0.113.53 203.0.113.54 203.0.113.55 mtu 1400, READY`},
		{what: "an address that is asked for twice", cells: cells{"mac_address": mac(8), "ip_address": "10.1.8.10", "gateway": "10.1.8.1"},
			want: `accepted as 02:00:5e:10:01:08 10.1.8.10/24 via 10.1.8.1 dns 203.0.113.53, READY`},
		{what: "the highest date", id: witnessRow, cells: cells{
			"mac_address": mac(9), "ip_address": "10.1.9.10", "gateway": "10.1.9.1", "updated_at": "9999-12-31 23:59:59"},
			want: `accepted as 02:00:5e:10:01:09 10.1.9.10/24 via 10.1.9.1 dns 203.0.113.53, READY`},

		// What the dispatcher lets through, and the node refuses.
		{what: "an address that is asked for twice, once more", cells: cells{"mac_address": secondCard, "ip_address": "10.1.8.10", "gateway": ""},
			want: `accepted as 02:00:5e:10:01:20 10.1.8.10/24 dns 203.0.113.53, ` +
				`REFUSED SUBNET_CONFLICT: 10.1.8.10 is also asked for on 02:00:5e:10:01:08: give each NIC its own address`},
		{what: "a subnet around the node's own address", cells: cells{"mac_address": swallowCard, "ip_address": "192.0.77.77", "subnet_mask": "255.255.0.0", "gateway": ""},
			want: `accepted as 02:00:5e:10:01:21 192.0.77.77/16 dns 203.0.113.53, REFUSED SUBNET_CONFLICT: 192.0.0.0/16 contains 192.0.2.10, an address of eth0,` +
				` without being its subnet (192.0.2.0/24): correct the address or the subnet mask`},
		{what: "the node's own address", cells: cells{"mac_address": addressCard, "ip_address": "192.0.2.10", "gateway": "192.0.2.1"},
			want: `accepted as 02:00:5e:10:01:22 192.0.2.10/24 via 192.0.2.1 dns 203.0.113.53, ` +
				`REFUSED SUBNET_CONFLICT: 192.0.2.10 is an address of eth0, which is not multinic's: choose another`},
		{what: "the node's own card", cells: cells{"mac_address": ownCard}, want: `accepted as 02:00:5e:10:00:ff 198.51.100.10/24 via 198.51.100.1 dns 203.0.113.53, ` +
			`REFUSED LINK_IN_USE: eth0 (02:00:5e:10:00:ff) is in use by something else: it has the address 192.0.2.10/24,` +
			` the route default via 192.0.2.1 src 192.0.2.10 metric 100 and the route 192.0.2.0/24 src 192.0.2.10 metric 100; free the NIC first, or delete its row`},
		{what: "an eleventh card", cells: cells{"mac_address": eleventhCard, "ip_address": "10.1.10.10", "gateway": ""},
			want: `accepted as 02:00:5e:10:01:24 10.1.10.10/24 dns 203.0.113.53, ` +
				`REFUSED NO_FREE_NAME: all of multinic0 to multinic9 are taken: delete the row of a NIC that is no longer needed`},
		{what: "a card that is not there", cells: cells{"mac_address": "02:00:5e:10:02:00"},
			want: `accepted as 02:00:5e:10:02:00 198.51.100.10/24 via 198.51.100.1 dns 203.0.113.53, ` + waits("02:00:5e:10:02:00")},
		{what: "the highest id, past the limit", id: 1<<63 - 1, cells: cells{"mac_address": "fe:ff:ff:ff:ff:ff"},
			want: `refused: the node has more than 64 interfaces, and this is one of those past the limit in the order of mac_address and vlan: delete rows`},

		// Rows that are not of one mind.
		{what: "one of two that say different things", id: 2001, cells: cells{"mac_address": baitCard, "ip_address": "10.66.1.10", "gateway": ""},
			want: `conflict: rows 2001, 2002, 2003, 2004 ask for different things under mac_address 02:00:5e:10:01:23 and vlan 0: keep one of them`},
		{what: "the other", id: 2002, cells: cells{"mac_address": "0200.5e10.0123", "ip_address": "10.66.1.11", "gateway": ""},
			want: `conflict: rows 2001, 2002, 2003, 2004 ask for different things under mac_address 02:00:5e:10:01:23 and vlan 0: keep one of them`},
		{what: "a third with a typo", id: 2003, cells: cells{"mac_address": baitCard, "subnet_mask": "255.0.255.0"},
			want: `refused: subnet_mask "255.0.255.0"` + holes},
		{what: "a fourth that is asked to be taken for true", id: 2004, cells: cells{"mac_address": baitCard, "ip_address": "10.1.0.10/24", "netplan_success": null},
			want: `refused: ip_address "10.1.0.10/24"` + noAddress},

		in("mac_address", "empty", "", `is empty: a row needs one, such as 02:00:5e:00:53:01`),
		in("mac_address", "NULL", null, `is empty: a row needs one, such as 02:00:5e:00:53:01`),
		in("mac_address", "blanks", " \t ", `is empty: a row needs one, such as 02:00:5e:00:53:01`),
		in("mac_address", "the word NULL", "NULL", `"NULL"`+noMAC),
		in("mac_address", "five octets", "02:00:5e:20:00", `"02:00:5e:20:00"`+noMAC),
		in("mac_address", "eight octets", "02-00-5E-FF-FE-20-00-01", `"02-00-5E-FF-FE-20-00-01"`+noMAC),
		in("mac_address", "no digit", "02:00:5e:20:00:0g", `"02:00:5e:20:00:0g"`+noMAC),
		in("mac_address", "digits of another script", "０2:00:5e:20:00:01", `"０2:00:5e:20:00:01"`+noMAC),
		in("mac_address", "an octet that overflows", "02:00:5e:20:00:1ff", `"02:00:5e:20:00:1ff"`+noMAC),
		in("mac_address", "negative", "-1", `"-1"`+noMAC),
		in("mac_address", "mixed separators", "02:00-5e:20:00:01", `"02:00-5e:20:00:01"`+noMAC),
		in("mac_address", "a line more", "02:00:5e:20:00:01\n", `"02:00:5e:20:00:01\n"`+noMAC),
		in("mac_address", "NUL", "02:00:5e:20:00:01\x00", `"02:00:5e:20:00:01\x00"`+noMAC),
		in("mac_address", "SQL", drop, `"'; DROP TABLE multi_interface; --"`+noMAC),
		in("mac_address", "YAML", yaml, `"`+yamlQuote+`"`+noMAC),
		in("mac_address", "shell", shell, `"`+shellText+`"`+noMAC),
		in("mac_address", "four bytes", bomb, `"`+bombText+`"`+noMAC),
		in("mac_address", "no UTF-8", notText, `"`+notTextIs+`"`+noMAC),
		in("mac_address", "oversized", long, `"`+longText+`"`+noMAC),
		in("mac_address", "multicast", "01:00:5e:00:00:01", `"01:00:5e:00:00:01"`+group),
		in("mac_address", "broadcast", "FF-FF-FF-FF-FF-FF", `"FF-FF-FF-FF-FF-FF"`+group),
		in("mac_address", "zeros", "0000.0000.0000", `"0000.0000.0000": no NIC has the address of zeros`),

		in("ip_address", "an octet that overflows", "198.51.100.256", `"198.51.100.256"`+noAddress),
		in("ip_address", "octal", "198.51.100.010", `"198.51.100.010"`+noAddress),
		in("ip_address", "with a prefix", "198.51.100.10/24", `"198.51.100.10/24"`+noAddress),
		in("ip_address", "three octets", "198.51.100", `"198.51.100"`+noAddress),
		in("ip_address", "negative", "-198.51.100.10", `"-198.51.100.10"`+noAddress),
		in("ip_address", "a number", "3325256714", `"3325256714"`+noAddress),
		in("ip_address", "IPv6", "2001:db8::1", `"2001:db8::1"`+noAddress),
		in("ip_address", "IPv4 in IPv6", "::ffff:198.51.100.10", `"::ffff:198.51.100.10"`+noAddress),
		in("ip_address", "a link's", "fe80::1%eth0", `"fe80::1%eth0"`+noAddress),
		in("ip_address", "a line more", "198.51.100.10\nnameserver 203.0.113.1", `"198.51.100.10\nnameserver 203.0.113.1"`+noAddress),
		in("ip_address", "NUL", "198.51.100.10\x00", `"198.51.100.10\x00"`+noAddress),
		in("ip_address", "SQL", drop, `"'; DROP TABLE multi_interface; --"`+noAddress),
		in("ip_address", "YAML", yaml, `"`+yamlQuote+`"`+noAddress),
		in("ip_address", "shell", shell, `"`+shellText+`"`+noAddress),
		in("ip_address", "four bytes", bomb, `"`+bombText+`"`+noAddress),
		in("ip_address", "no UTF-8", notText, `"`+notTextIs+`"`+noAddress),
		in("ip_address", "a megabyte", longer, `"`+strings.Repeat("1", 64)+`…"`+noAddress),
		in("ip_address", "right, then 5000 blanks", "198.51.100.10"+strings.Repeat(" ", 5000), `"198.51.100.10`+strings.Repeat(" ", 51)+`…"`+noAddress),
		in("ip_address", "network", "198.51.100.0", `"198.51.100.0"`+edge+`choose a host's address`),
		in("ip_address", "broadcast", "198.51.100.255", `"198.51.100.255"`+edge+`choose a host's address`),
		in("ip_address", "broadcast of all", "255.255.255.255", `"255.255.255.255": that is a reserved address (240.0.0.0/4)`+noHost),
		in("ip_address", "any", "0.0.0.0", `"0.0.0.0": that is an address of "this network" (0.0.0.0/8)`+noHost),
		in("ip_address", "loopback", "127.0.0.1", `"127.0.0.1": that is a loopback address`+noHost),
		in("ip_address", "metadata", "169.254.169.254", `"169.254.169.254": that is a link-local address (169.254.0.0/16)`+noHost),
		in("ip_address", "multicast", "224.0.0.1", `"224.0.0.1": that is a multicast address`+noHost),

		in("subnet_mask", "empty", "", `is empty: an address needs one, such as 255.255.255.0 or 24`),
		in("subnet_mask", "NULL", null, `is empty: an address needs one, such as 255.255.255.0 or 24`),
		in("subnet_mask", "holes", "255.0.255.0", `"255.0.255.0"`+holes),
		in("subnet_mask", "a wildcard", "0.0.0.255", `"0.0.0.255"`+holes),
		in("subnet_mask", "an octet that overflows", "255.255.255.256", `"255.255.255.256"`+noMask),
		in("subnet_mask", "a slash", "/24", `"/24"`+noMask),
		in("subnet_mask", "a sign", "+24", `"+24"`+noMask),
		in("subnet_mask", "a fraction", "24.0", `"24.0"`+noMask),
		in("subnet_mask", "too long", "33", `"33"`+bits),
		in("subnet_mask", "negative", "-8", `"-8"`+bits),
		in("subnet_mask", "nothing", "0.0.0.0", `"0.0.0.0"`+bits),
		in("subnet_mask", "half the Internet", "1", `"1"`+bits),
		in("subnet_mask", "half the Internet, dotted", "128.0.0.0", `"128.0.0.0"`+bits),
		in("subnet_mask", "overflows 32 bits", "4294967320", `"4294967320"`+bits),
		in("subnet_mask", "overflows 64 bits", "18446744073709551640", `"18446744073709551640"`+noMask),
		in("subnet_mask", "a line more", "24\n", `"24\n"`+noMask),
		in("subnet_mask", "NUL", "24\x00", `"24\x00"`+noMask),
		in("subnet_mask", "SQL", drop, `"'; DROP TABLE multi_interface; --"`+noMask),
		in("subnet_mask", "YAML", yaml, `"`+yamlQuote+`"`+noMask),
		in("subnet_mask", "shell", shell, `"`+shellText+`"`+noMask),
		in("subnet_mask", "four bytes", bomb, `"`+bombText+`"`+noMask),
		in("subnet_mask", "no UTF-8", notText, `"`+notTextIs+`"`+noMask),
		in("subnet_mask", "oversized", long, `"`+longText+`"`+noMask),

		in("gateway", "outside the subnet", "203.0.113.1", `"203.0.113.1": it does not lie in 198.51.100.0/24: correct gateway or subnet_mask, or leave gateway empty`),
		in("gateway", "the row's own", "198.51.100.10", `"198.51.100.10": that is the row's own address: name the router, or leave it empty`),
		in("gateway", "network", "198.51.100.0", `"198.51.100.0"`+edge+`name the router, or leave it empty`),
		in("gateway", "broadcast", "198.51.100.255", `"198.51.100.255"`+edge+`name the router, or leave it empty`),
		in("gateway", "loopback", "127.0.0.1", `"127.0.0.1": that is a loopback address`+noHost),
		in("gateway", "multicast", "239.255.255.255", `"239.255.255.255": that is a multicast address`+noHost),
		in("gateway", "IPv6", "fe80::1", `"fe80::1"`+noAddress),
		in("gateway", "negative", "-1", `"-1"`+noAddress),
		in("gateway", "overflows", "198.51.100.4294967297", `"198.51.100.4294967297"`+noAddress),
		in("gateway", "two", "198.51.100.1,198.51.100.2", `"198.51.100.1,198.51.100.2"`+noAddress),
		in("gateway", "a line more", "198.51.100.1\r\nup reboot", `"198.51.100.1\r\nup reboot"`+noAddress),
		in("gateway", "NUL", "\x00", `"\x00"`+noAddress),
		in("gateway", "SQL", drop, `"'; DROP TABLE multi_interface; --"`+noAddress),
		in("gateway", "YAML", yaml, `"`+yamlQuote+`"`+noAddress),
		in("gateway", "shell", shell, `"`+shellText+`"`+noAddress),
		in("gateway", "four bytes", bomb, `"`+bombText+`"`+noAddress),
		in("gateway", "no UTF-8", notText, `"`+notTextIs+`"`+noAddress),
		in("gateway", "oversized", long, `"`+longText+`"`+noAddress),

		in("dns", "a name", "203.0.113.53, ns.example.com", `"ns.example.com"`+noAddress),
		in("dns", "semicolons", "203.0.113.53;203.0.113.54", `"203.0.113.53;203.0.113.54"`+noAddress),
		in("dns", "IPv6", "2001:db8::53", `"2001:db8::53"`+noAddress),
		in("dns", "loopback", "127.0.0.53", `"127.0.0.53": that is a loopback address`+noHost),
		in("dns", "negative", "-1", `"-1"`+noAddress),
		in("dns", "too many", strings.Repeat("203.0.113.53 ", 17), `"203.0.113.53 203.0.113.53 203.0.113.53 203.0.113.53 203.0.113.53…": more than 16 servers`),
		in("dns", "a line more", "203.0.113.53\noptions debug", `"203.0.113.53\noptions"`+noAddress),
		in("dns", "NUL", "203.0.113.53\x00", `"203.0.113.53\x00"`+noAddress),
		in("dns", "SQL", drop, `"';"`+noAddress),
		in("dns", "YAML", yaml, `"x\n"`+noAddress),
		in("dns", "shell", shell, "\"`reboot`;\""+noAddress),
		in("dns", "four bytes", bomb, `"`+bombText+`"`+noAddress),
		in("dns", "no UTF-8", notText, `"`+notTextIs+`"`+noAddress),
		in("dns", "oversized", long, `"`+longText+`"`+noAddress),

		in("vlan", "negative", "-1", `"-1"`+vlanRange),
		in("vlan", "reserved", "4095", `"4095"`+vlanRange),
		in("vlan", "overflows 16 bits", "65537", `"65537"`+vlanRange),
		in("vlan", "overflows 32 bits", "4294967296", `"4294967296"`+vlanRange),
		in("vlan", "overflows 64 bits", "18446744073709551616", `"18446744073709551616"`+vlanRange),
		in("vlan", "a fraction", "0.0", `"0.0"`+vlanText),
		in("vlan", "a power", "1e3", `"1e3"`+vlanText),
		in("vlan", "hexadecimal", "0x10", `"0x10"`+vlanText),
		in("vlan", "a sign", "+7", `"+7"`+vlanText),
		in("vlan", "a line more", "0\n", `"0\n"`+vlanText),
		in("vlan", "NUL", "\x00", `"\x00"`+vlanText),
		in("vlan", "SQL", drop, `"'; DROP TABLE multi_interface; --"`+vlanText),
		in("vlan", "YAML", yaml, `"`+yamlQuote+`"`+vlanText),
		in("vlan", "shell", shell, `"`+shellText+`"`+vlanText),
		in("vlan", "four bytes", bomb, `"`+bombText+`"`+vlanText),
		in("vlan", "no UTF-8", notText, `"`+notTextIs+`"`+vlanText),
		in("vlan", "oversized", long, `"`+longText+`"`+vlanRange),

		in("mtu", "too small", "67", `"67"`+mtuRange),
		in("mtu", "too large", "65536", `"65536"`+mtuRange),
		in("mtu", "negative", "-1500", `"-1500"`+mtuRange),
		in("mtu", "overflows 32 bits", "4294968796", `"4294968796"`+mtuRange),
		in("mtu", "a word", "jumbo", `"jumbo"`+mtuText),
		in("mtu", "shell", shell, `"`+shellText+`"`+mtuText),
		in("mtu", "four bytes", bomb, `"`+bombText+`"`+mtuText),
		in("mtu", "no UTF-8", notText, `"`+notTextIs+`"`+mtuText),

		elsewhere("empty", "", `of "(no node)"`+nameless),
		elsewhere("NULL", null, `of "(no node)"`+nameless),
		elsewhere("blanks", " \t ", `of " \t "`+nameless),
		elsewhere("a byte too long", nodeName+strings.Repeat("x", 507),
			`of "(no node)": refused: attached_node_name "node-1`+strings.Repeat("x", 58)+`…": a node's name has up to 512 bytes: write the node's name`),
		elsewhere("as long as can be", nodeName+strings.Repeat("x", 506), `of "node-1`+strings.Repeat("x", 506)+`": `+theirs),
		elsewhere("a blank after it", nodeName+" ", `of "node-1 ": `+theirs),
		elsewhere("a blank before it", " "+nodeName, `of " node-1": `+theirs),
		elsewhere("a line more", nodeName+"\n", `of "node-1\n": `+theirs),
		elsewhere("NUL", nodeName+"\x00", `of "node-1\x00": `+theirs),
		elsewhere("negative", "-1", `of "-1": `+theirs),
		elsewhere("an accent", "nodé-1", `of "nodé-1": `+theirs),
		elsewhere("SQL", nodeName+drop, `of "node-1'; DROP TABLE multi_interface; -- ": `+theirs),
		elsewhere("YAML", yaml, `of "`+yamlQuote+`": `+theirs),
		elsewhere("shell", shell, `of "`+shellText+`": `+theirs),
		elsewhere("four bytes", bomb, `of "`+bombText+`": `+theirs),
		elsewhere("no UTF-8", nodeName+notText, `of "node-1`+"\ufffd"+`": `+theirs),
	}
	for i := range rows {
		if rows[i].id == 0 {
			rows[i].id = int64(i + 1)
		}
	}
	return rows
}
