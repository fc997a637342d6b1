package plan_test

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"multinic.dev/executor/internal/plan"
)

// model is as much of a kernel as changes touch, with what it does of its own accord: it takes secondary addresses away
// with their primary by default, and all routes of a link with its last address.
type model struct {
	kernel plan.Kernel
	// settings are those of each link by its index, whatever its name.
	settings map[int]map[string]string
	// promotes says that a secondary address takes the place of its primary (promote_secondaries); systemd has it so.
	promotes bool
}

// read is what link.Kernel.Read returns.
func (m *model) read() plan.Kernel {
	kernel := plan.Kernel{
		Links: slices.Clone(m.kernel.Links), Routes: slices.Clone(m.kernel.Routes), Rules: slices.Clone(m.kernel.Rules),
		Persisted: maps.Clone(m.kernel.Persisted),
	}
	for i := range kernel.Links {
		link := &kernel.Links[i]
		link.Addresses = slices.Clone(link.Addresses)
		if plan.IsOurName(link.Name) {
			link.Settings = maps.Clone(m.settings[link.Index])
		}
	}
	return kernel
}

func (m *model) link(index int) *plan.Link {
	i := slices.IndexFunc(m.kernel.Links, func(l plan.Link) bool { return l.Index == index })
	return &m.kernel.Links[i]
}

func (m *model) apply(change plan.Change) error {
	switch c := change.(type) {
	case plan.Persist:
		m.kernel.Persisted[c.Config.NIC] = *c.Config
	case plan.Forget:
		delete(m.kernel.Persisted, c.NIC)
	case plan.Rename:
		if slices.ContainsFunc(m.kernel.Links, func(l plan.Link) bool { return l.Name == c.To && l.Index != c.Link }) {
			return fmt.Errorf("%s: file exists", c)
		}
		m.link(c.Link).Name = c.To
	case plan.SetUp:
		m.link(c.Link).Up = true
	case plan.SetDown:
		m.link(c.Link).Up = false
		m.kernel.Routes = slices.DeleteFunc(m.kernel.Routes, func(r plan.Route) bool { return r.Link == c.Link && !r.Multipath })
	case plan.AddVLAN:
		return m.addVLAN(c)
	case plan.RemoveVLAN:
		m.kernel.Links = slices.DeleteFunc(m.kernel.Links, func(l plan.Link) bool { return l.Index == c.Link })
		m.kernel.Routes = slices.DeleteFunc(m.kernel.Routes, func(r plan.Route) bool { return r.Link == c.Link && !r.Multipath })
	case plan.SetMTU:
		m.link(c.Link).MTU = c.MTU
	case plan.Set:
		return m.set(c)
	case plan.AddAddress:
		link := m.link(c.Link)
		if !slices.ContainsFunc(link.Addresses, func(a plan.Address) bool { return a.Prefix == c.Address.Prefix }) {
			link.Addresses = append(link.Addresses, c.Address)
		}
	case plan.RemoveAddress:
		m.removeAddress(m.link(c.Link), c.Address)
	case plan.AddRoute:
		return m.addRoute(c)
	case plan.RemoveRoute:
		if i := slices.Index(m.kernel.Routes, c.Route); i >= 0 {
			m.kernel.Routes = slices.Delete(m.kernel.Routes, i, i+1)
		}
	case plan.AddRule:
		if !slices.Contains(m.kernel.Rules, c.Rule) {
			m.kernel.Rules = append(m.kernel.Rules, c.Rule)
		}
	case plan.RemoveRule:
		if i := slices.Index(m.kernel.Rules, c.Rule); i >= 0 {
			m.kernel.Rules = slices.Delete(m.kernel.Rules, i, i+1)
		}
	}
	return nil
}

func (m *model) addVLAN(c plan.AddVLAN) error {
	card, index := *m.link(c.Card), 50 // No route is drawn on a link with such an index.
	for _, link := range m.kernel.Links {
		index = max(index, link.Index+1)
		if link.Name == c.Name || link.Kind == "vlan" && link.Lower == c.Card && link.VLAN == c.ID {
			return fmt.Errorf("%s: file exists", c)
		}
	}
	m.kernel.Links = append(m.kernel.Links, plan.Link{
		Index: index, Name: c.Name, MAC: card.MAC, Kind: "vlan", Lower: c.Card, VLAN: c.ID, MTU: card.MTU,
	})
	m.settings[index] = map[string]string{}
	for _, setting := range plan.Settings() {
		m.settings[index][setting.Path] = "3"
	}
	return nil
}

func (m *model) set(c plan.Set) error {
	for _, link := range m.kernel.Links {
		if path := strings.Replace(c.Path, "/"+link.Name+"/", "/%s/", 1); path != c.Path {
			if _, there := m.settings[link.Index][path]; there {
				m.settings[link.Index][path] = c.Value
			}
			return nil
		}
	}
	return fmt.Errorf("%s: no such file", c)
}

func (m *model) removeAddress(link *plan.Link, address plan.Address) {
	i := slices.Index(link.Addresses, address)
	if i < 0 {
		return
	}
	same := func(a plan.Address) bool {
		return a.Prefix.Masked() == address.Prefix.Masked() && a.Prefix.Addr().Is4()
	}
	isPrimary := !slices.ContainsFunc(link.Addresses[:i], same)
	link.Addresses = slices.Delete(link.Addresses, i, i+1)
	if isPrimary && !m.promotes {
		link.Addresses = slices.DeleteFunc(link.Addresses, same)
	}
	if address.Prefix.Addr().Is4() && !slices.ContainsFunc(link.Addresses, func(a plan.Address) bool { return a.Prefix.Addr().Is4() }) {
		m.kernel.Routes = slices.DeleteFunc(m.kernel.Routes, func(r plan.Route) bool { return r.Link == link.Index && !r.Multipath })
	}
}

func (m *model) addRoute(c plan.AddRoute) error {
	link := m.link(c.Route.Link)
	hasSource := !c.Route.Source.IsValid() || slices.ContainsFunc(link.Addresses, func(a plan.Address) bool { return a.Prefix.Addr() == c.Route.Source })
	isNear := !c.Route.Via.IsValid() || slices.ContainsFunc(m.kernel.Routes, func(r plan.Route) bool {
		return r.Table == c.Route.Table && r.Link == c.Route.Link && !r.Via.IsValid() && r.To.Contains(c.Route.Via)
	})
	switch {
	case !link.Up:
		return fmt.Errorf("%s: network is down", c)
	case !hasSource:
		return fmt.Errorf("%s: invalid argument", c)
	case !isNear:
		return fmt.Errorf("%s: network is unreachable", c)
	}
	i := slices.IndexFunc(m.kernel.Routes, func(r plan.Route) bool {
		return r.Table == c.Route.Table && r.To == c.Route.To && r.Metric == c.Route.Metric && r.TOS == c.Route.TOS
	})
	if i >= 0 {
		m.kernel.Routes[i] = c.Route
	} else {
		m.kernel.Routes = append(m.kernel.Routes, c.Route)
	}
	return nil
}

// changesOf are all changes of a plan, in the order in which they are made.
func changesOf(p plan.Plan) []plan.Change {
	var changes []plan.Change
	for _, decision := range p.Decisions {
		changes = append(changes, decision.Changes...)
	}
	return append(changes, p.Shared...)
}

func text[T fmt.Stringer](all []T) string {
	var lines strings.Builder
	for _, one := range all {
		lines.WriteString(one.String() + "\n")
	}
	return lines.String()
}

// near is an address as multinic's interfaces have it.
func near(cidr string) plan.Address {
	prefix := netip.MustParsePrefix(cidr)
	return plan.Address{Prefix: prefix, NoPrefixRoute: true, Broadcast: broadcast(prefix)}
}

// broadcast is the last address of a subnet that has one.
func broadcast(prefix netip.Prefix) netip.Addr {
	if prefix.Bits() >= 31 || !prefix.Addr().Is4() {
		return netip.Addr{}
	}
	last := prefix.Addr()
	for prefix.Masked().Contains(last.Next()) {
		last = last.Next()
	}
	return last
}

// nic is the claim of a card with an untagged interface.
func nic(name string) plan.Claim { return plan.Claim{Name: name, VLANs: []int{0}} }

// TestTheModelRefusesWhatTheKernelRefuses is the control of the tests that stand on it: a wrong order would not pass.
func TestTheModelRefusesWhatTheKernelRefuses(t *testing.T) {
	changes := changesOf(plan.Decide([]plan.Item{item(mac0, "192.0.2.10/24", "192.0.2.1", 0)}, nil, node("eth1").read()))
	for _, without := range []string{"link set multinic0 up", "address add", "route replace 192.0.2.0/24 dev multinic0 table 1835925504"} {
		m, refused := node("eth1"), false
		for _, change := range changes {
			if !strings.HasPrefix(change.String(), without) {
				refused = m.apply(change) != nil || refused
			}
		}
		if !refused {
			t.Errorf("all went well without %q", without)
		}
	}
}
