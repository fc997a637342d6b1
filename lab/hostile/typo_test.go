package hostile_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"multinic.dev/lab/fleet"
	multinicv1 "multinic.dev/proto/multinic/v1"
	"multinic.dev/testbed/monitor"
	"multinic.dev/testbed/oracle"
)

// typos are mistakes in a row that stands at 1, with what is said of it.
func typos() []hostile {
	in := func(column, text, message string) hostile {
		return hostile{what: "a typo in " + column, id: liveRow, cells: cells{column: text}, want: "refused: " + column + " " + message}
	}
	misnamed := func(text, shown, why string) hostile {
		return hostile{what: "a typo in attached_node_name", id: liveRow, cells: cells{"attached_node_name": text}, want: "of " + shown + ": refused: attached_node_name " + why}
	}
	const nobody = `, of which no executor has connected, and the node "node-1" has the NIC: `
	const noAddress = `: that is no IPv4 address: write it like 192.0.2.10, or leave it empty for none`
	return []hostile{
		misnamed("node-l", `"node-l"`, `is "node-l"`+nobody+"correct it, or start the node's executor"),
		misnamed(nodeName+" ", `"node-1 "`, `is "node-1 "`+nobody+"the two differ by blanks alone"),
		misnamed(nodeName+"\n'; --", `"node-1\n'; --"`, `is "node-1\n'; --"`+nobody+"correct it, or start the node's executor"),
		misnamed("", `"(no node)"`, "is empty: write the node's name"),
		misnamed(null, `"(no node)"`, "is empty: write the node's name"),
		misnamed(" ", `" "`, "is empty: write the node's name"),
		in("mac_address", "02:00:5e:10:01:0O", `"02:00:5e:10:01:0O": that is no MAC address: write it like 02:00:5e:00:53:01`),
		in("mac_address", null, `is empty: a row needs one, such as 02:00:5e:00:53:01`),
		in("ip_address", "10.1.0.1O", `"10.1.0.1O"`+noAddress),
		in("ip_address", "10.1.0.255", `"10.1.0.255": that is 10.1.0.0/24's network or broadcast address: choose a host's address`),
		in("subnet_mask", "255.255.0.255", `"255.255.0.255": its ones are not all at the front: write it like 255.255.255.0 or 24`),
		in("subnet_mask", null, `is empty: an address needs one, such as 255.255.255.0 or 24`),
		in("gateway", "10.1.0.l", `"10.1.0.l"`+noAddress),
		in("gateway", "10.11.0.1", `"10.11.0.1": it does not lie in 10.1.0.0/24: correct gateway or subnet_mask, or leave gateway empty`),
		in("dns", "203.0.113.53.", `"203.0.113.53."`+noAddress),
		in("vlan", "4095", `"4095": that is out of range: write 1 to 4094, or 0 or NULL for none`),
		in("mtu", "15OO", `"15OO": that is no number: write 68 to 65535, or 0 or NULL to leave it as it is`),
	}
}

// TestATypoInALiveRowLeavesItsNICAsItIs changes a row in place that stands at 1, each column in turn, and heals it again.
func TestATypoInALiveRowLeavesItsNICAsItIs(t *testing.T) {
	p := prepare(t, shapes()[0])
	p.insert()
	p.settled(p.rows)
	p.expectFlags()
	p.awaitCarriers(1 + interfaces)
	p.monitor.Mark(t)
	before := p.ready()
	i := slices.IndexFunc(p.rows, func(row hostile) bool { return row.id == liveRow })
	whole := p.rows[i]
	for _, typo := range typos() {
		p.change(typo.cells)
		p.settled([]hostile{typo})
		p.witness()
		p.expectStanding(typo.want, before)
		p.expectTakenBack()

		healed := cells{}
		for column := range typo.cells {
			healed[column] = whole.all()[column]
		}
		p.change(healed)
		p.settled(p.rows)
		p.witness()
		p.expectFlags()
		p.expectStanding("healed: "+typo.want, before)
	}
	p.expectOneActivation()
	p.expectStateDirClean()
	p.expectLogsWhole()

	// The control: a change that can be carried out is heard.
	p.change(cells{"ip_address": "10.1.0.11"})
	p.fleet.Until(func() bool {
		isThere := strings.Contains(p.node.IP("address", "show", "dev", "multinic0"), "10.1.0.11/24")

		return isThere && strings.HasPrefix(outcome(p.nodes(), liveRow), "accepted as 02:00:5e:10:01:00 10.1.0.11/24 via 10.1.0.1 dns 203.0.113.53 mtu 1500, READY")
	}, func() string { return outcome(p.nodes(), liveRow) })
	if events := p.monitor.Mark(t); !slices.ContainsFunc(events, func(e monitor.Event) bool { return e.Link == "multinic0" }) {
		t.Errorf("a change of the address made no event: %v", events)
	}
}

// change changes cells of the live row in place.
func (p *play) change(changed cells) {
	p.Helper()
	var sets []string
	for column, text := range changed {
		sets = append(sets, column+" = "+p.shape.value(column, text))
	}
	p.fleet.SQL(fmt.Sprintf("SET SESSION sql_mode = ''; UPDATE multi_interface SET %s WHERE id = %d", strings.Join(sets, ", "), liveRow))
}

// witness has another row of the node proved anew: when it stands at 1 again, the node has done all that was asked of it before.
func (p *play) witness() {
	p.Helper()
	p.fleet.SQL(fmt.Sprintf("UPDATE multi_interface SET netplan_success = 0 WHERE id = %d", witnessRow))
	p.fleet.Until(func() bool { return p.flag(witnessRow) == "1" }, func() string { return "the witness is not proved anew" })
}

func (p *play) flag(id int64) string {
	p.Helper()
	got, err := p.fleet.DB.Query(p.Context(), fmt.Sprintf("SELECT netplan_success FROM multi_interface WHERE id = %d", id))
	if err != nil || len(got) != 1 {
		p.Fatalf("the flag of row %d: %v, %v", id, got, err)
	}

	return got[0][0]
}

// expectTakenBack says that the live row's flag, which a typo has made false, becomes 0.
func (p *play) expectTakenBack() {
	p.Helper()
	p.fleet.Until(func() bool { return p.flag(liveRow) == "0" }, func() string { return "the row says 1, and cannot be used" })
}

// expectStanding says that the kernel has been silent, and that all interfaces are there as they were, by the oracle and by what
// the node says of the live row's.
func (p *play) expectStanding(after string, rows []fleet.Row) {
	p.Helper()
	if events := p.monitor.Mark(p); len(events) != 0 {
		p.Errorf("%s: the node was disturbed: %v", after, events)
	}
	if wrong := p.node.Judge(oracle.Expect{}, rows...); wrong != "" {
		p.Errorf("%s: the kernel:\n%s", after, wrong)
	}
	for _, one := range p.fleet.View(nodeName).GetInterfaces() {
		if one.GetKey().GetMacAddress() == mac(0) && one.GetResult().GetState() != multinicv1.State_STATE_READY {
			p.Errorf("%s: the node says of the interface: %v", after, one.GetResult())
		}
	}
}
