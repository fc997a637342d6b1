package capture

import (
	"fmt"
	"net"
	"net/netip"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
)

// Kind is what a packet is.
type Kind string

// The kinds of packets that a capture keeps.
const (
	ARPRequest Kind = "ARP request"
	ARPReply   Kind = "ARP reply"
	IPv4       Kind = "IPv4"
)

// Packet is a packet that passed a link.
type Packet struct {
	Kind Kind
	// MAC is the Ethernet address that sent it, in lower case with colons.
	MAC string
	// Claim is the Ethernet address that an ARP packet says belongs to Source; empty for IPv4.
	Claim string
	// Source and Destination are an IPv4 packet's, and the sender's and the target's address of an ARP packet.
	Source, Destination netip.Addr
}

func (p Packet) String() string {
	text := fmt.Sprintf("%s %v to %v from %s", p.Kind, p.Source, p.Destination, p.MAC)
	if p.Claim != "" && p.Claim != p.MAC {
		text += " for " + p.Claim
	}
	return text
}

// decoder reads frames. It belongs to one goroutine.
type decoder struct {
	parser   *gopacket.DecodingLayerParser
	ethernet layers.Ethernet
	arp      layers.ARP
	ip       layers.IPv4
	found    []gopacket.LayerType
}

func newDecoder() *decoder {
	d := &decoder{}
	d.parser = gopacket.NewDecodingLayerParser(layers.LayerTypeEthernet, &d.ethernet, &d.arp, &d.ip)
	d.parser.IgnoreUnsupported = true
	return d
}

// decode reads a frame, and says whether it is of a kind that is kept.
func (d *decoder) decode(frame []byte) (Packet, bool) {
	if d.parser.DecodeLayers(frame, &d.found) != nil || len(d.found) < 2 {
		return Packet{}, false
	}
	packet := Packet{MAC: d.ethernet.SrcMAC.String()}
	var source, destination []byte
	switch {
	case d.found[1] == layers.LayerTypeIPv4:
		packet.Kind = IPv4
		source, destination = d.ip.SrcIP, d.ip.DstIP
	case d.found[1] == layers.LayerTypeARP && d.arp.Operation == layers.ARPRequest:
		packet.Kind = ARPRequest
		source, destination = d.arp.SourceProtAddress, d.arp.DstProtAddress
	case d.found[1] == layers.LayerTypeARP && d.arp.Operation == layers.ARPReply:
		packet.Kind = ARPReply
		source, destination = d.arp.SourceProtAddress, d.arp.DstProtAddress
	default:
		return Packet{}, false
	}
	if packet.Kind != IPv4 {
		packet.Claim = net.HardwareAddr(d.arp.SourceHwAddress).String()
	}
	var ok [2]bool
	packet.Source, ok[0] = netip.AddrFromSlice(source)
	packet.Destination, ok[1] = netip.AddrFromSlice(destination)
	return packet, ok[0] && ok[1]
}
