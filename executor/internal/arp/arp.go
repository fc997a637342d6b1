// Package arp asks the hosts on a link's wire, by the Address Resolution Protocol (RFC 826), who has an IPv4 address.
package arp

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/mdlayher/packet"
	"golang.org/x/sys/unix"

	"multinic.dev/executor/internal/transaction"
)

const (
	// probes are sent probeEvery apart, and heard for as long after the last. RFC 5227 waits for up to seven seconds in all, for
	// links that have just come up and hosts that are slow; here an address that works waits to be given up meanwhile, and who
	// is on the wire answers within a millisecond.
	probes     = 3
	probeEvery = 90 * time.Millisecond
	// answerWithin is how long a neighbour may take to answer; one that is there takes a millisecond.
	answerWithin = 330 * time.Millisecond
)

// Prober finds out whether others on the wire have an address (RFC 5227, §2.1.1).
type Prober struct{}

var _ transaction.Prober = Prober{}

// InUse returns, for each of wanted, the MAC of another host on the link's wire that has the address, or that is just about to take
// it; empty: none was heard. It takes a third of a second at most, for many as for one. What comes from the MACs in own does not count.
// Of a link that is gone or down nothing is heard.
func (Prober) InUse(ctx context.Context, wanted []transaction.Wanted, own []string) ([]string, error) {
	holders := make([]string, len(wanted))
	byLink := map[int][]int{}
	for i, one := range wanted {
		byLink[one.Link] = append(byLink[one.Link], i)
	}
	var sockets []*socket
	for link, places := range byLink {
		s, err := open(link)
		if err != nil {
			return nil, errors.Join(err, closeAll(sockets))
		}
		if s == nil {
			continue
		}
		sockets = append(sockets, s)
		for _, i := range places {
			s.asked = append(s.asked, question{address: wanted[i].Address, holder: &holders[i]})
		}
	}
	var asking sync.WaitGroup
	failed := make([]error, len(sockets))
	for i, s := range sockets {
		asking.Go(func() {
			s.probe(ctx, own)
			failed[i] = s.close() // Each by itself: the kernel takes ten milliseconds for it.
		})
	}
	asking.Wait()

	return holders, errors.Join(failed...)
}

// Answers says whether a neighbour on a link answers one request that comes from one of the node's own addresses, within a third of a
// second. Of a link that is gone or down nobody answers.
func Answers(ctx context.Context, link int, source, neighbour netip.Addr) (bool, error) {
	s, err := open(link)
	if s == nil || err != nil {
		return false, err
	}
	answered := false
	if s.send(source, neighbour) == nil { // Else the link has gone down meanwhile.
		s.hear(ctx, answerWithin, func(heard message) bool {
			answered = heard.senderIP == neighbour

			return answered
		})
	}

	return answered, s.close()
}

// question is an address that is asked for, and where the answer goes.
type question struct {
	address netip.Addr
	holder  *string
}

// socket is an open link. It belongs to one goroutine.
type socket struct {
	connection *packet.Conn
	mac        net.HardwareAddr
	asked      []question
}

// open opens a link, in the network namespace of the calling thread; nil: it is gone or down.
func open(link int) (*socket, error) {
	card, err := net.InterfaceByIndex(link)
	if err != nil || card.Flags&net.FlagUp == 0 || len(card.HardwareAddr) != macLength {
		return nil, nil //nolint:nilnil,nilerr // as the comment says
	}
	connection, err := packet.Listen(card, packet.Datagram, unix.ETH_P_ARP, nil)
	switch {
	case errors.Is(err, unix.EPERM):
		return nil, fmt.Errorf("listen for ARP on %s: %w; give the executor the capability CAP_NET_RAW", card.Name, err)
	case errors.Is(err, unix.ENETDOWN), errors.Is(err, unix.ENODEV), errors.Is(err, unix.ENXIO):
		return nil, nil //nolint:nilnil // as the comment says
	case err != nil:
		return nil, fmt.Errorf("listen for ARP on %s: %w", card.Name, err)
	}

	return &socket{connection: connection, mac: card.HardwareAddr}, nil
}

func (s *socket) close() error { return s.connection.Close() } //nolint:wrapcheck // it names itself

func closeAll(sockets []*socket) (err error) {
	for _, s := range sockets {
		err = errors.Join(err, s.close())
	}

	return err
}

// probe asks for all addresses until each was found in use, or all time is up.
func (s *socket) probe(ctx context.Context, own []string) {
	open := func(q question) bool { return *q.holder == "" }
	for range probes {
		for _, q := range s.asked {
			if open(q) && s.send(netip.IPv4Unspecified(), q.address) != nil {
				return // The link has gone down meanwhile.
			}
		}
		s.hear(ctx, probeEvery, func(heard message) bool {
			for _, q := range s.asked {
				has := heard.senderIP == q.address
				// Another one that probes for it as we do.
				wants := heard.senderIP.IsUnspecified() && heard.targetIP == q.address
				if open(q) && (has || wants) && !slices.Contains(own, heard.senderMAC) && heard.senderMAC != s.mac.String() {
					*q.holder = heard.senderMAC
				}
			}

			return !slices.ContainsFunc(s.asked, open)
		})
		if ctx.Err() != nil || !slices.ContainsFunc(s.asked, open) {
			return
		}
	}
}

// hear hands over what is heard for a while, until enough was or ctx ends.
func (s *socket) hear(ctx context.Context, while time.Duration, enough func(message) bool) {
	if s.connection.SetReadDeadline(time.Now().Add(while)) != nil {
		return
	}
	stop := context.AfterFunc(ctx, func() { _ = s.connection.SetReadDeadline(time.Unix(1, 0)) }) // Ends a read at once.
	defer stop()
	buffer := make([]byte, 128) //nolint:mnd // an ARP message of Ethernet has 28 bytes, with padding 46
	for {
		n, _, err := s.connection.ReadFrom(buffer)
		if err != nil {
			if !errors.Is(err, os.ErrDeadlineExceeded) && errors.Is(err, unix.EINTR) {
				continue
			}

			return
		}
		if heard, ok := parse(buffer[:n]); ok && enough(heard) {
			return
		}
	}
}

// The layout of an ARP message for IPv4 over Ethernet (RFC 826), in bytes.
const (
	macLength     = 6
	ipLength      = 4
	messageLength = 28
	ethernet      = 1
	request       = 1
	offsetSender  = 8
	offsetTarget  = 18
)

// message is an ARP message for IPv4 over Ethernet.
type message struct {
	senderMAC          string
	senderIP, targetIP netip.Addr
}

func parse(data []byte) (message, bool) {
	if len(data) < messageLength || binary.BigEndian.Uint16(data) != ethernet || binary.BigEndian.Uint16(data[2:]) != unix.ETH_P_IP ||
		data[4] != macLength || data[5] != ipLength {
		return message{}, false
	}
	ip := func(at int) netip.Addr { return netip.AddrFrom4([4]byte(data[at : at+ipLength])) }

	return message{
		senderMAC: net.HardwareAddr(data[offsetSender : offsetSender+macLength]).String(),
		senderIP:  ip(offsetSender + macLength), targetIP: ip(offsetTarget + macLength),
	}, true
}

// send asks everybody on the wire for an address, as a sender with an address; unspecified: as one that probes.
func (s *socket) send(sender, target netip.Addr) error {
	data := make([]byte, 0, messageLength)
	data = binary.BigEndian.AppendUint16(data, ethernet)
	data = binary.BigEndian.AppendUint16(data, unix.ETH_P_IP)
	data = append(data, macLength, ipLength)
	data = binary.BigEndian.AppendUint16(data, request)
	data = append(data, s.mac...)
	data = append(data, sender.AsSlice()...)
	data = append(data, make([]byte, macLength)...)
	data = append(data, target.AsSlice()...)
	everybody := net.HardwareAddr{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
	_, err := s.connection.WriteTo(data, &packet.Addr{HardwareAddr: everybody})

	return err //nolint:wrapcheck // whatever it is, nothing is heard
}
