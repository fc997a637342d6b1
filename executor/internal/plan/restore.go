package plan

import (
	"net/netip"
	"slices"
)

// Former is what a card with its VLANs was at one time: all of it that Decide and Releases may change, but for what somebody
// else has put into the card's own tables that leads nowhere or elsewhere as well.
type Former struct {
	MAC string `json:"mac"`
	// Card is the index of the card; 0: there was none, or it could not be told among several with its MAC.
	Card int `json:"card"`
	// Numbers are the N of the names multinicN that it had or was to get; their tables are its own.
	Numbers []int `json:"numbers"`
	// Links are the card and the VLANs of multinic's on it, with their settings.
	Links []Link `json:"links"`
	// Routes are those on Links alone, in whatever table.
	Routes []Route `json:"routes"`
	// Rules are those into its own tables, and those of its addresses.
	Rules []Rule `json:"rules"`
	// Persisted is what outlived a boot of it, and of what had its names.
	Persisted []Config `json:"persisted,omitempty"`
}

// FormerOf says what a card is now. Names are those that it has, or is to get, on disk. The links of the card must have their
// Settings, whatever their names.
func FormerOf(mac string, names []string, kernel Kernel) Former {
	former := Former{MAC: mac}
	if card, found := cardOf(kernel, mac, names...); found {
		former.Card = card.Index
		names = append(slices.Clone(names), card.Name)
	}
	for _, name := range names {
		if number, ours := Number(name); ours && !slices.Contains(former.Numbers, number) {
			former.Numbers = append(former.Numbers, number)
		}
	}
	former.Links = former.linksIn(kernel)
	former.Routes = former.routesIn(kernel)
	former.Rules = former.rulesIn(kernel, former.addresses())
	former.Persisted = former.persistedOf(kernel)
	for i := range former.Persisted {
		if config := &former.Persisted[i]; config.Foreign != nil {
			config.Spoiled = false // Half taken over, as a power cut may have left it, it is put back into its own place.
		}
	}
	return former
}

// Names are those that the card had or was to get.
func (f Former) Names() []string {
	var names []string
	for _, number := range f.Numbers {
		names = append(names, nameOf(number))
	}
	return names
}

// linksIn are the card and the VLANs of multinic's on it. Those that stand on it under other names are somebody else's, unless
// they were ours before.
func (f Former) linksIn(kernel Kernel) []Link {
	var links []Link
	for _, link := range kernel.Links {
		isCard := link.Index == f.Card && link.MAC == f.MAC
		wasOurs := slices.ContainsFunc(f.Links, func(l Link) bool { return l.Kind == kindVLAN && l.VLAN == link.VLAN })
		if f.Card != 0 && (isCard || link.Kind == kindVLAN && link.Lower == f.Card && (wasOurs || IsOurName(link.Name))) {
			links = append(links, link)
		}
	}
	return links
}

func (f Former) routesIn(kernel Kernel) []Route {
	var routes []Route
	links := f.linksIn(kernel)
	for _, route := range kernel.Routes {
		if !route.Multipath && slices.ContainsFunc(links, func(l Link) bool { return l.Index == route.Link }) {
			routes = append(routes, route)
		}
	}
	return routes
}

func (f Former) isOwn(table int) bool {
	return slices.ContainsFunc(f.Numbers, func(number int) bool { return isOfNIC(table, number) })
}

// addresses are the IPv4 addresses of the links.
func (f Former) addresses() []netip.Addr {
	var all []netip.Addr
	for _, link := range f.Links {
		for _, address := range link.Addresses {
			all = append(all, address.Prefix.Addr())
		}
	}
	return all
}

// rulesIn are the rules into its own tables, and those of multinic's from given addresses, each once: none can be added that is there.
func (f Former) rulesIn(kernel Kernel, from []netip.Addr) []Rule {
	var rules []Rule
	for _, rule := range kernel.Rules {
		isOurs := rule.isMarked(kernel.Rules, f.isOwn) && isAnInterfaces(rule.Preference)
		if !rule.Other && (f.isOwn(rule.Table) || isOurs && slices.Contains(from, fromAddress(rule))) && !slices.Contains(rules, rule) {
			rules = append(rules, rule)
		}
	}
	return rules
}

// Restore plans what must change so that a card is again what it was. The links of the card must have their Settings, whatever
// their names. A kernel does more at a change than it was told, so several plans may be needed; one without a change says that
// all is as it was. Of a card that is gone, or another one by now, only the rules can be put back.
func (f Former) Restore(kernel Kernel) []Change {
	now := f
	now.Links = f.linksIn(kernel)
	is := now.rulesIn(kernel, append(f.addresses(), now.addresses()...))
	missing, surplus := compare(f.Rules, is, func(Rule) bool { return true })
	var changes []Change
	for _, rule := range surplus {
		changes = append(changes, RemoveRule{rule})
	}
	if len(now.Links) > 0 && len(f.Links) > 0 {
		changes = append(changes, f.restoreLinks(now.Links, kernel)...)
	}
	changes = append(changes, addRules(missing)...)
	return append(changes, f.restorePersisted(kernel)...)
}

// restoreLinks puts the links back, but for the rules.
func (f Former) restoreLinks(now []Link, kernel Kernel) []Change {
	var changes []Change
	names := map[int]string{}
	for _, link := range now {
		i := slices.IndexFunc(f.Links, func(l Link) bool { return l.isSameAs(link) })
		if i < 0 {
			changes = append(changes, RemoveVLAN{link.Index, link.Name})
			continue
		}
		names[link.Index] = link.Name
		name := f.Links[i].Name
		if name == link.Name {
			continue
		}
		if slices.ContainsFunc(kernel.Links, func(l Link) bool { return l.Name == name && l.Index != link.Index }) {
			name = aside(link.Index)
		}
		if name != link.Name {
			changes = append(changes, Rename{link.Index, link.Name, name})
			names[link.Index] = name
		}
	}
	indices := map[int]int{} // of the links now, by what they were
	for _, was := range f.Links {
		i := slices.IndexFunc(now, was.isSameAs)
		if i < 0 {
			changes = append(changes, AddVLAN{f.Card, names[f.Card], was.Name, was.VLAN})
			continue
		}
		indices[was.Index] = now[i].Index
		changes = append(changes, was.restore(now[i], names[now[i].Index])...)
	}
	return append(changes, f.restoreRoutes(indices, names, kernel)...)
}

// isSameAs says whether two links of one card, at two times, are the same: the card itself, or the same VLAN.
func (l Link) isSameAs(other Link) bool {
	return l.Kind == kindVLAN && other.Kind == kindVLAN && l.VLAN == other.VLAN || l.Kind != kindVLAN && l.Index == other.Index
}

// restore makes a link what it was, but for its name and its routes.
func (l Link) restore(now Link, name string) []Change {
	var changes []Change
	if now.MTU != l.MTU {
		changes = append(changes, SetMTU{now.Index, name, l.MTU})
	}
	changes = append(changes, setBack(now.Settings, l.Settings, name)...)
	// What was given for a time comes and goes by itself; put back, it would be there for good.
	counts := func(a Address) bool {
		isLeased := slices.Contains(l.Leased, a.Prefix) || slices.Contains(now.Leased, a.Prefix)
		return !isLeased && (a.Prefix.Addr().Is4() || !a.LinkLocal)
	}
	missing, surplus := compare(l.Addresses, now.Addresses, counts)
	for _, address := range surplus {
		changes = append(changes, RemoveAddress{now.Index, name, address})
	}
	switch {
	case l.Up && !now.Up:
		changes = append(changes, SetUp{now.Index, name})
	case !l.Up && now.Up:
		changes = append(changes, SetDown{now.Index, name})
	}
	for _, address := range missing {
		if counts(address) {
			changes = append(changes, AddAddress{now.Index, name, address})
		}
	}
	return changes
}

// restoreRoutes puts back the routes on links that are there. Those that the kernel makes for addresses come and go with them,
// unless they alone went.
func (f Former) restoreRoutes(indices map[int]int, names map[int]string, kernel Kernel) []Change {
	byHand := func(r Route) bool { return r.Protocol != protocolKernel }
	var were []Route
	for _, route := range f.Routes {
		index, there := indices[route.Link]
		if there && (byHand(route) || isUpWith(kernel, index, route.Source)) {
			route.Link = index
			were = append(were, route)
		}
	}
	now := f
	missing, surplus := compare(were, now.routesIn(kernel), byHand)
	var changes []Change
	for _, route := range surplus {
		if !slices.ContainsFunc(missing, func(m Route) bool { return m.replaces(route) }) {
			changes = append(changes, RemoveRoute{route, names[route.Link]})
		}
	}
	// A gateway must be near before a route leads to it.
	slices.SortStableFunc(missing, func(a, b Route) int {
		switch {
		case a.Via.IsValid() == b.Via.IsValid():
			return 0
		case b.Via.IsValid():
			return -1
		}
		return 1
	})
	for _, route := range missing {
		changes = append(changes, AddRoute{route, names[route.Link]})
	}
	return changes
}

// isUpWith says whether a link is up and has an address.
func isUpWith(kernel Kernel, index int, address netip.Addr) bool {
	return slices.ContainsFunc(kernel.Links, func(l Link) bool { return l.Index == index && l.Up && l.hasAddress(address) })
}

// IsForeign says whether a change of Restore concerns what somebody else has put on a card: an address or a route that multinic
// would not have made.
func IsForeign(change Change) bool {
	switch c := change.(type) {
	case AddAddress:
		return !c.Address.Prefix.Addr().Is4() || !c.Address.NoPrefixRoute
	case RemoveAddress:
		return !c.Address.Prefix.Addr().Is4() || !c.Address.NoPrefixRoute
	case AddRoute:
		return c.Route.Protocol != Protocol
	case RemoveRoute:
		return c.Route.Protocol != Protocol
	}
	return false
}

// Needs says whether something that a card had, an address or its name, is another's now, so that it cannot get it back while
// the other stays as it is.
func (f Former) Needs(now Former) bool {
	for _, link := range f.Links {
		for _, other := range now.Links {
			if link.Index == f.Card && other.Index == now.Card && link.Name == other.Name {
				return true
			}
			for _, address := range link.Addresses {
				if address.Prefix.Addr().Is4() && other.hasAddress(address.Prefix.Addr()) {
					return true
				}
			}
		}
	}
	return false
}
