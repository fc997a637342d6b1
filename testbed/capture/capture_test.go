package capture_test

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"multinic.dev/testbed/capture"
	"multinic.dev/testbed/node"
	"multinic.dev/testbed/sandbox"
)

func TestMain(m *testing.M) { sandbox.Main(m) }

// patience is how long what must happen may take. It takes some milliseconds.
const patience = 20 * time.Second

// left and right are what the hosts of a wire have; the MACs are those that AddHost gives by the wire's free port.
const (
	left, leftMAC   = "192.0.2.1", "02:00:5e:00:00:00"
	right, rightMAC = "192.0.2.2", "02:00:5e:00:00:01"
)

// pair is a wire with two hosts that know nothing of each other yet.
func pair(t *testing.T) (one, other *node.Host) {
	t.Helper()
	wire := node.NewWire(t, "wire")
	return wire.AddHost("left", left+"/24"), wire.AddHost("right", right+"/24")
}

func ping(t *testing.T, from *node.Host, to string) {
	t.Helper()
	if out, err := from.Command(t.Context(), "ping", "-c1", "-W20", to).CombinedOutput(); err != nil {
		t.Fatalf("%s does not reach %s: %v\n%s", from.Name(), to, err, out)
	}
}

func packet(kind capture.Kind, mac, source, destination string) capture.Packet {
	p := capture.Packet{Kind: kind, MAC: mac, Source: netip.MustParseAddr(source), Destination: netip.MustParseAddr(destination)}
	if kind != capture.IPv4 {
		p.Claim = mac
	}
	return p
}

func TestAPingIsSeenAtBothEnds(t *testing.T) {
	one, other := pair(t)
	captures := []*capture.Capture{capture.Start(t, one.Namespace, one.Device), capture.Start(t, other.Namespace, other.Device)}
	ping(t, one, right)
	want := []capture.Packet{
		packet(capture.ARPRequest, leftMAC, left, right),
		packet(capture.ARPReply, rightMAC, right, left),
		packet(capture.IPv4, leftMAC, left, right),
		packet(capture.IPv4, rightMAC, right, left),
	}
	for _, c := range captures {
		if got := c.Mark(t); !slices.Equal(got, want) {
			t.Errorf("seen:\n%v\nwant:\n%v", got, want)
		}
	}
}

func TestSilenceIsSilentAndAPacketAfterItIsSeen(t *testing.T) {
	one, other := pair(t)
	c, second := capture.Start(t, one.Namespace, one.Device), capture.Start(t, one.Namespace, one.Device)
	for range 20 {
		if got := c.Mark(t); len(got) != 0 {
			t.Fatalf("packets that nobody sent: %v", got)
		}
	}
	ping(t, other, left)
	if got := c.Mark(t); len(got) != 4 {
		t.Errorf("a ping after the silence: %v", got)
	}
	if got := c.Mark(t); len(got) != 0 {
		t.Errorf("the same packets again: %v", got)
	}
	// Another capture of the same link has marks of its own.
	if got := second.Mark(t); len(got) != 4 {
		t.Errorf("the ping, at the second capture: %v", got)
	}
}

func TestOnlyTheLinkIsHeard(t *testing.T) {
	one, other := pair(t)
	other.IP("link", "add", "idle", "type", "veth", "peer", "name", "end")
	other.IP("link", "set", "end", "up")
	other.IP("link", "set", "idle", "up")
	other.Set("net/ipv6/conf/idle/disable_ipv6", "1")
	c := capture.Start(t, other.Namespace, "idle")
	ping(t, one, right)
	ping(t, other, right) // Over the loopback.
	if got := c.Mark(t); len(got) != 0 {
		t.Errorf("packets of other links: %v", got)
	}
}

func TestWhatIsAwaitedIsReturnedOrMissed(t *testing.T) {
	one, other := pair(t)
	c := capture.Start(t, one.Namespace, one.Device)
	isReply := func(p capture.Packet) bool { return p.Kind == capture.ARPReply }
	if got, ok := c.Await(time.Millisecond, isReply); ok {
		t.Errorf("before anything was sent: %v", got)
	}
	type answer struct {
		packet capture.Packet
		ok     bool
	}
	awaited := make(chan answer)
	go func() {
		got, ok := c.Await(patience, isReply)
		awaited <- answer{got, ok}
	}()
	ping(t, other, left)
	want := packet(capture.ARPReply, leftMAC, left, right)
	if got := <-awaited; got.packet != want || !got.ok {
		t.Errorf("awaited while it came: %v, %t; want %v", got.packet, got.ok, want)
	}
	if got, ok := c.Await(0, isReply); got != want || !ok {
		t.Errorf("awaited after it came: %v, %t; want %v", got, ok, want)
	}
	c.Mark(t)
	if got, ok := c.Await(0, isReply); ok {
		t.Errorf("awaited after a mark: %v", got)
	}
}

func TestALinkThatGoesDownAndComesUpIsHeardAgain(t *testing.T) {
	one, other := pair(t)
	c := capture.Start(t, one.Namespace, one.Device)
	one.IP("link", "set", one.Device, "down")
	one.IP("link", "set", one.Device, "name", "eth1")
	one.IP("link", "set", "eth1", "up")
	ping(t, other, left)
	got := c.Mark(t)
	if want := packet(capture.IPv4, leftMAC, left, right); !slices.Contains(got, want) {
		t.Errorf("seen: %v; want %v among it", got, want)
	}
}

func TestAPacketIsWordedForPeople(t *testing.T) {
	p := packet(capture.ARPReply, leftMAC, left, right)
	if got, want := p.String(), "ARP reply 192.0.2.1 to 192.0.2.2 from 02:00:5e:00:00:00"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	p.Claim = rightMAC
	if got, want := p.String(), "ARP reply 192.0.2.1 to 192.0.2.2 from 02:00:5e:00:00:00 for 02:00:5e:00:00:01"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}
