package loop_test

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"multinic.dev/lab/fleet"
	"multinic.dev/testbed/capture"
	"multinic.dev/testbed/node"
)

// The hosts of the segment. The gateway also stands for what is beyond it: far, which the node reaches by a default
// route, and aside, to which the node's main table has a route by eth0.
const (
	gatewayAddress   = "192.0.2.1"
	neighbourAddress = "192.0.2.2"
	podAddress       = "10.244.0.5"
	farAddress       = "203.0.113.9"
	asideAddress     = "198.51.100.9"
)

// card is a card of the segment's node.
type card struct{ name, mac, address string }

// underlay is the card that the node is reached by.
func underlay() card { return card{"eth0", mac(1, 100), "192.0.2.10"} }

// fiveCards are those of the rows, by the names that they get.
func fiveCards() []card {
	var cards []card
	for i := range 5 {
		cards = append(cards, card{fmt.Sprint("multinic", i), mac(1, i), fmt.Sprint("192.0.2.2", i)})
	}
	return cards
}

// allCards are the cards of the segment's node.
func allCards() []card { return append([]card{underlay()}, fiveCards()...) }

// nameOf is the name of the node's card with a MAC, or the MAC where it is no card of the node.
func nameOf(mac string) string {
	for _, c := range allCards() {
		if c.mac == mac {
			return c.name
		}
	}
	return mac
}

// segment is one wire with a gateway, a neighbour, and a node that has all its cards on it, and a pod. Its checks look
// at packets and return what is wrong, a sentence each; nothing when all is right.
type segment struct {
	t                             *testing.T
	node                          *fleet.Node
	gateway, neighbour, pod       *node.Host
	atGateway, atNeighbour, atPod *capture.Capture
	nobody                        int // how many addresses that nobody has were asked for
}

// newSegment makes the segment with a node of a fleet. Its five cards are bare yet.
func newSegment(t *testing.T, f *fleet.Fleet) *segment {
	t.Helper()
	wire := node.NewWire(t, "segment")
	s := &segment{t: t, node: f.AddNode(nodeName(1)), gateway: wire.AddHost("gateway", gatewayAddress+"/24"), neighbour: wire.AddHost("neighbour", neighbourAddress+"/24")}
	s.gateway.IP("address", "add", farAddress+"/32", "dev", "lo")
	s.gateway.IP("address", "add", asideAddress+"/32", "dev", "lo")
	// A kernel's defaults: a fresh namespace has those of the machine.
	for _, setting := range []string{"arp_ignore", "arp_announce", "rp_filter"} {
		s.node.Set("net/ipv4/conf/all/"+setting, "0")
		s.node.Set("net/ipv4/conf/default/"+setting, "0")
	}
	own := underlay()
	s.node.Underlay(own.name, own.mac, own.address+"/24", gatewayAddress, 100, wire)
	s.node.IP("route", "add", asideAddress, "via", gatewayAddress, "dev", own.name)
	s.pod = s.node.AddPod("pod", podAddress+"/32")
	for i, c := range fiveCards() {
		s.node.PlugIn(fmt.Sprint("ens", i), c.mac, wire)
	}
	s.atGateway = capture.Start(t, s.gateway.Namespace, s.gateway.Device)
	s.atNeighbour = capture.Start(t, s.neighbour.Namespace, s.neighbour.Device)
	s.atPod = capture.Start(t, s.pod.Namespace, s.pod.Device)
	return s
}

// rows are what a controller writes for the five cards.
func (s *segment) rows() []fleet.Row {
	var rows []fleet.Row
	for _, c := range fiveCards() {
		rows = append(rows, fleet.Row{Node: s.node.Name(), MAC: c.mac, Address: c.address, Mask: "24", Gateway: gatewayAddress})
	}
	return rows
}

// all is what is wrong in any respect.
func (s *segment) all() []string {
	s.t.Helper()
	// What the hosts have learnt while the node was different must not be held against it.
	s.gateway.IP("neighbour", "flush", "dev", s.gateway.Device)
	s.neighbour.IP("neighbour", "flush", "dev", s.neighbour.Device)
	wrong := slices.Concat(s.unbound(), s.answers(), s.asks(), s.pods(), s.detours())
	for _, c := range allCards() {
		wrong = append(wrong, s.leaves(c)...)
	}
	return wrong
}

// way is from where a packet goes to where: addresses.
type way struct{ from, to string }

func (w way) String() string { return w.from + " to " + w.to }

// is says whether a packet goes this way. An empty address is any.
func (w way) is(p capture.Packet) bool {
	return p.Kind == capture.IPv4 && (w.from == "" || p.Source.String() == w.from) && (w.to == "" || p.Destination.String() == w.to)
}

// leaves checks by which card the packets of one address leave, those that it begins with and those that it answers
// with, to the neighbour and beyond the gateway.
func (s *segment) leaves(c card) []string {
	s.t.Helper()
	var wrong []string
	for _, peer := range []struct {
		address string
		host    *node.Host
		at      *capture.Capture
	}{{neighbourAddress, s.neighbour, s.atNeighbour}, {farAddress, s.gateway, s.atGateway}} {
		there := way{c.address, peer.address}
		for _, one := range []struct {
			what    string
			provoke func()
		}{
			{"a packet", func() { ping(s.t, s.node.Namespace, c.address, "", peer.address) }},
			{"an answer", func() { ping(s.t, peer.host.Namespace, peer.address, "", c.address) }},
		} {
			peer.at.Mark(s.t)
			one.provoke()
			switch p, ok := peer.at.Await(fleet.Patience, there.is); {
			case !ok:
				wrong = append(wrong, fmt.Sprintf("%s of %v is lost", one.what, there))
			case p.MAC != c.mac:
				wrong = append(wrong, fmt.Sprintf("%s of %v leaves by %s", one.what, there, nameOf(p.MAC)))
			}
		}
	}
	return wrong
}

// unbound checks that what the node sends from no particular address leaves by eth0, from its address.
func (s *segment) unbound() []string {
	s.t.Helper()
	var wrong []string
	for _, peer := range []struct {
		address string
		at      *capture.Capture
	}{{neighbourAddress, s.atNeighbour}, {farAddress, s.atGateway}} {
		peer.at.Mark(s.t)
		ping(s.t, s.node.Namespace, "", "", peer.address)
		switch p, ok := peer.at.Await(fleet.Patience, way{to: peer.address}.is); {
		case !ok:
			wrong = append(wrong, "a packet of the node's own to "+peer.address+" is lost")
		case p.MAC != underlay().mac || p.Source.String() != underlay().address:
			wrong = append(wrong, fmt.Sprintf("a packet of the node's own to %s leaves by %s from %v", peer.address, nameOf(p.MAC), p.Source))
		}
	}
	return wrong
}

// answers checks that each address is answered by its own card's MAC and by no other.
func (s *segment) answers() []string {
	s.t.Helper()
	var targets, wrong []string
	for _, c := range allCards() {
		targets = append(targets, c.address)
	}
	s.atGateway.Mark(s.t)
	// The neighbour is asked last: when it has answered, so have all that were going to answer the others.
	ask(s.t, s.gateway, gatewayAddress, append(targets, neighbourAddress)...)
	if _, ok := s.atGateway.Await(fleet.Patience, isReply(neighbourAddress)); !ok {
		s.t.Fatal("the neighbour does not answer ARP")
	}
	packets := s.atGateway.Mark(s.t)
	for _, c := range allCards() {
		right := false
		for _, p := range packets {
			switch {
			case !isReply(c.address)(p):
			case p.MAC == c.mac && p.Claim == c.mac:
				right = true
			default:
				wrong = append(wrong, fmt.Sprintf("%s is answered by %s", c.address, nameOf(p.MAC)))
			}
		}
		if !right {
			wrong = append(wrong, fmt.Sprintf("%s is not answered by %s", c.address, c.name))
		}
	}
	return wrong
}

// isReply matches ARP replies for an address.
func isReply(address string) func(capture.Packet) bool {
	return func(p capture.Packet) bool { return p.Kind == capture.ARPReply && p.Source.String() == address }
}

// asks checks that each of the five cards asks for neighbours in the name of its own address, even when what it is about
// to send comes from another one of the node's: whoever hears it would take that address to be at this card.
func (s *segment) asks() []string {
	s.t.Helper()
	var wrong []string
	for _, c := range fiveCards() {
		s.nobody++ // Who was asked for before is not asked for again at once.
		target := netip.AddrFrom4([4]byte{192, 0, 2, byte(100 + s.nobody)})
		ping(s.t, s.node.Namespace, underlay().address, c.name, target.String())
		p, ok := s.atNeighbour.Await(fleet.Patience, func(p capture.Packet) bool { return p.Kind == capture.ARPRequest && p.Destination == target })
		switch {
		case !ok:
			wrong = append(wrong, c.name+" does not ask for neighbours")
		case p.MAC != c.mac || p.Source.String() != c.address:
			wrong = append(wrong, fmt.Sprintf("%s asks for neighbours as %v", nameOf(p.MAC), p.Source))
		}
	}
	return wrong
}

// pods checks that the pod gets an answer from each address of its node.
func (s *segment) pods() []string {
	s.t.Helper()
	var wrong []string
	for _, c := range allCards() {
		s.atPod.Mark(s.t)
		s.atGateway.Mark(s.t)
		ping(s.t, s.pod.Namespace, "", "", c.address)
		answer := way{c.address, podAddress}
		var astray capture.Packet
		var home, strayed bool
		for deadline := time.Now().Add(fleet.Patience); !home && !strayed && time.Now().Before(deadline); {
			if _, home = s.atPod.Await(glance, answer.is); !home {
				astray, strayed = s.atGateway.Await(glance, answer.is)
			}
		}
		switch {
		case strayed:
			wrong = append(wrong, fmt.Sprintf("an answer of %v leaves by %s", answer, nameOf(astray.MAC)))
		case !home:
			wrong = append(wrong, fmt.Sprintf("an answer of %v is lost", answer))
		}
	}
	return wrong
}

// glance is how long one of two captures is waited for before the other.
const glance = 10 * time.Millisecond

// detours checks that what comes in by a card from where the node's main table knows another way back is answered.
func (s *segment) detours() []string {
	s.t.Helper()
	var targets []string
	for _, c := range slices.Concat(fiveCards(), []card{underlay()}) {
		// Nobody has to be asked for the way, so the order of sending is that of arriving.
		s.gateway.IP("neighbour", "replace", c.address, "lladdr", c.mac, "dev", s.gateway.Device, "nud", "permanent")
		targets = append(targets, c.address)
	}
	s.atGateway.Mark(s.t)
	ping(s.t, s.gateway.Namespace, asideAddress, "", targets...)
	if _, ok := s.atGateway.Await(fleet.Patience, way{underlay().address, asideAddress}.is); !ok {
		s.t.Fatal("the node's own address does not answer")
	}
	packets := s.atGateway.Mark(s.t)
	var wrong []string
	for _, c := range fiveCards() {
		answer := way{c.address, asideAddress}
		if !slices.ContainsFunc(packets, answer.is) {
			wrong = append(wrong, fmt.Sprintf("an answer of %v is lost", answer))
		}
		s.gateway.IP("neighbour", "delete", c.address, "dev", s.gateway.Device)
	}
	return wrong
}
