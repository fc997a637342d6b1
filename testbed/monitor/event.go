package monitor

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// Event is one message of the kernel.
type Event struct {
	// Kind is what happened, such as "link new" or "address gone".
	Kind string
	// Link is the name of the link that it happened to; empty where there is none, or where its name is not known.
	Link string
	// Text is the address, destination or name that it is about, for people.
	Text string
	// At is when the kernel's word was read, by the clock of the machine that it is of.
	At time.Time
}

func (e Event) String() string { return fmt.Sprintf("%s %s %s", e.Kind, e.Link, e.Text) }

// netconfIfindex is NETCONFA_IFINDEX of linux/netconf.h.
const netconfIfindex = 1

// kind words the type of a message.
func kind(messageType uint16) string {
	switch messageType {
	case unix.RTM_NEWLINK:
		return "link new"
	case unix.RTM_DELLINK:
		return "link gone"
	case unix.RTM_NEWADDR:
		return "address new"
	case unix.RTM_DELADDR:
		return "address gone"
	case unix.RTM_NEWROUTE:
		return "route new"
	case unix.RTM_DELROUTE:
		return "route gone"
	case unix.RTM_NEWRULE:
		return "rule new"
	case unix.RTM_DELRULE:
		return "rule gone"
	case unix.RTM_NEWNETCONF:
		return "setting new"
	case unix.RTM_DELNETCONF:
		return "setting gone"
	default:
		return fmt.Sprintf("message %d", messageType)
	}
}

// decode words a message, and says whether it is of the marker. It keeps the names of links that it learns.
func decode(messageType uint16, data []byte, names map[int32]string) (Event, bool) {
	event := Event{Kind: kind(messageType)}
	switch messageType {
	case unix.RTM_NEWLINK, unix.RTM_DELLINK:
		index := nl.DeserializeIfInfomsg(data).Index
		if name, ok := attribute(data[unix.SizeofIfInfomsg:], unix.IFLA_IFNAME); ok {
			names[index] = string(bytes.TrimRight(name, "\x00"))
		}
		event.Link, event.Text = names[index], fmt.Sprint("index ", index)
	case unix.RTM_NEWADDR, unix.RTM_DELADDR:
		message := nl.DeserializeIfAddrmsg(data)
		event.Link = names[int32(message.Index)]
		event.Text = addressIn(data[unix.SizeofIfAddrmsg:], unix.IFA_ADDRESS) + fmt.Sprint("/", message.Prefixlen)
	case unix.RTM_NEWROUTE, unix.RTM_DELROUTE:
		message := nl.DeserializeRtMsg(data)
		if out, ok := attribute(data[unix.SizeofRtMsg:], unix.RTA_OIF); ok {
			event.Link = names[int32(binary.NativeEndian.Uint32(out))]
		}
		table := uint32(message.Table)
		if long, ok := attribute(data[unix.SizeofRtMsg:], unix.RTA_TABLE); ok {
			table = binary.NativeEndian.Uint32(long)
		}
		event.Text = addressIn(data[unix.SizeofRtMsg:], unix.RTA_DST) + fmt.Sprintf("/%d table %d", message.Dst_len, table)
	case unix.RTM_NEWRULE, unix.RTM_DELRULE:
		if priority, ok := attribute(data[unix.SizeofRtMsg:], nl.FRA_PRIORITY); ok {
			event.Text = fmt.Sprint("preference ", binary.NativeEndian.Uint32(priority))
		}
	case unix.RTM_NEWNETCONF, unix.RTM_DELNETCONF:
		// struct netconfmsg is one byte, padded to four.
		if index, ok := attribute(data[4:], netconfIfindex); ok {
			event.Link = names[int32(binary.NativeEndian.Uint32(index))]
		}
	}
	return event, strings.HasPrefix(event.Text, markerAddress+"/32")
}

// attribute finds an attribute of a message.
func attribute(data []byte, wanted uint16) ([]byte, bool) {
	attributes, err := nl.ParseRouteAttr(data)
	if err != nil {
		return nil, false
	}
	for _, a := range attributes {
		if a.Attr.Type == wanted {
			return a.Value, true
		}
	}
	return nil, false
}

// addressIn is the address that an attribute holds, or "default" where there is none.
func addressIn(data []byte, wanted uint16) string {
	value, _ := attribute(data, wanted)
	if address, ok := netip.AddrFromSlice(value); ok {
		return address.String()
	}
	return "default"
}
