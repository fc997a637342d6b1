package plan

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Change is one change of the kernel. It is one of the types below, nothing else. Its text is for logs and tests, and
// close to what one would say to `ip`.
type Change interface {
	String() string
	change()
}

// The changes. Each is idempotent: what is so already, or gone already, is no error.
type (
	// Rename gives a link a name.
	Rename struct {
		Link     int
		From, To string
	}
	// SetUp brings a link up.
	SetUp struct {
		Link int
		Name string
	}
	// SetDown takes a link down.
	SetDown struct {
		Link int
		Name string
	}
	// AddVLAN makes a VLAN on a card. It is another link, whose index only the kernel knows.
	AddVLAN struct {
		// Card is the index of the link that it stands on, and CardName its name.
		Card     int
		CardName string
		Name     string
		ID       int
	}
	// RemoveVLAN takes a VLAN away, with all that is on it.
	RemoveVLAN struct {
		Link int
		Name string
	}
	// SetMTU sets a link's MTU, in bytes.
	SetMTU struct {
		Link int
		Name string
		MTU  int
	}
	// Set writes a setting; Path is below /proc/sys/net, with the link's name in it. A setting of IPv6 that a link has
	// not is no error.
	Set struct{ Path, Value string }
	// AddAddress gives a link an address.
	AddAddress struct {
		Link    int
		Name    string
		Address Address
	}
	// RemoveAddress takes one away.
	RemoveAddress struct {
		Link    int
		Name    string
		Address Address
	}
	// AddRoute adds a route. One with the same table, destination and metric gives way to it, with no moment between.
	AddRoute struct {
		Route Route
		Name  string
	}
	// RemoveRoute takes one away.
	RemoveRoute struct {
		Route Route
		Name  string
	}
	// AddRule adds a rule.
	AddRule struct{ Rule Rule }
	// RemoveRule takes one away.
	RemoveRule struct{ Rule Rule }
	// Persist has the next boot make of a NIC what Config says. It is the last change of a card: only what the kernel was
	// proved to be is persisted.
	Persist struct{ Config *Config }
	// Forget has the next boot know nothing of a NIC.
	Forget struct{ NIC string }
)

// ErrNoVLANs is what AddVLAN is refused with by a kernel that has no 802.1Q VLANs.
var ErrNoVLANs = errors.New("this kernel has no 802.1Q VLANs: load its module 8021q, or use vlan 0")

func (Rename) change()        {}
func (SetUp) change()         {}
func (SetDown) change()       {}
func (AddVLAN) change()       {}
func (RemoveVLAN) change()    {}
func (SetMTU) change()        {}
func (Set) change()           {}
func (AddAddress) change()    {}
func (RemoveAddress) change() {}
func (AddRoute) change()      {}
func (RemoveRoute) change()   {}
func (AddRule) change()       {}
func (RemoveRule) change()    {}
func (Persist) change()       {}
func (Forget) change()        {}

func (c Rename) String() string { return "link set " + c.From + " name " + c.To }

func (c SetUp) String() string { return "link set " + c.Name + " up" }

func (c SetDown) String() string { return "link set " + c.Name + " down" }

func (c AddVLAN) String() string {
	return "link add link " + c.CardName + " name " + c.Name + " type vlan id " + strconv.Itoa(c.ID)
}

func (c RemoveVLAN) String() string { return "link delete " + c.Name }

func (c SetMTU) String() string { return "link set " + c.Name + " mtu " + strconv.Itoa(c.MTU) }

func (c Set) String() string { return "sysctl net/" + c.Path + "=" + c.Value }

func (c AddAddress) String() string {
	text := "address add " + c.Address.String() + " dev " + c.Name
	if c.Address.NoPrefixRoute {
		text += " noprefixroute"
	}
	return text
}

func (c RemoveAddress) String() string {
	return "address delete " + c.Address.String() + " dev " + c.Name
}

func (c AddRoute) String() string { return "route replace " + c.Route.text(c.Name) }

func (c RemoveRoute) String() string { return "route delete " + c.Route.text(c.Name) }

func (c AddRule) String() string { return "rule add pref " + c.Rule.text() }

func (c RemoveRule) String() string { return "rule delete pref " + c.Rule.text() }

func (c Persist) String() string { return "persist " + c.Config.NIC }

func (c Forget) String() string { return "persist nothing of " + c.NIC }

// String is the address as `ip` takes it.
func (a Address) String() string {
	if a.Peer.IsValid() {
		return fmt.Sprintf("%s peer %s/%d", a.Prefix.Addr(), a.Peer, a.Prefix.Bits())
	}
	return a.Prefix.String()
}

// text is the route in the words and the order of `ip route show table all`; name is its link's, empty where it has none.
func (r Route) text(name string) string {
	to := r.To.String()
	switch {
	case r.To.Bits() == 0:
		to = "default"
	case r.To.IsSingleIP():
		to = r.To.Addr().String()
	}
	words := []string{to}
	if r.TOS != 0 {
		words = append(words, "tos", fmt.Sprintf("0x%02x", r.TOS))
	}
	switch {
	case r.Via.Is6():
		words = append(words, "via", "inet6", r.Via.String())
	case r.Via.IsValid():
		words = append(words, "via", r.Via.String())
	}
	if name != "" {
		words = append(words, "dev", name)
	}
	if r.Table != MainTable {
		words = append(words, "table", strconv.Itoa(r.Table))
	}
	if r.Protocol != protocolBoot {
		words = append(words, "proto", protocolText(r.Protocol))
	}
	if name != "" && !r.Via.IsValid() {
		words = append(words, "scope", "link")
	}
	if r.Source.IsValid() {
		words = append(words, "src", r.Source.String())
	}
	if r.Metric != 0 {
		words = append(words, "metric", strconv.Itoa(r.Metric))
	}
	if r.OnLink {
		words = append(words, "onlink")
	}
	return strings.Join(words, " ")
}

// text is the rule in the words of `ip rule`, after its preference.
func (r Rule) text() string {
	words := []string{strconv.Itoa(r.Preference), "from"}
	switch {
	case !r.From.IsValid():
		words = append(words, "all")
	case r.From.IsSingleIP():
		words = append(words, r.From.Addr().String())
	default:
		words = append(words, r.From.String())
	}
	table := strconv.Itoa(r.Table)
	if r.Table == MainTable {
		table = "main"
	}
	words = append(words, "lookup", table)
	if r.WithoutDefault {
		words = append(words, "suppress_prefixlength", "0")
	}
	// A rule that nobody has marked has 0.
	if r.Protocol != 0 && r.Protocol != protocolKernel {
		words = append(words, "proto", protocolText(r.Protocol))
	}
	return strings.Join(words, " ")
}

// protocolText names the protocols that /etc/iproute2/rt_protos names everywhere, as far as they are met here.
func protocolText(protocol int) string {
	switch protocol {
	case protocolKernel:
		return "kernel"
	case protocolBoot:
		return "boot"
	case protocolStatic:
		return "static"
	default:
		return strconv.Itoa(protocol)
	}
}

// Protocols of linux/rtnetlink.h.
const (
	protocolKernel = 2
	protocolBoot   = 3
	protocolStatic = 4
	protocolRA     = 9
	protocolDHCP   = 16
)
