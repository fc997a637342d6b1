package plan

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// Observed is what a kernel has of one interface, for people.
type Observed struct {
	// Link is the kernel's index of the link; 0: there is none, and the rest is empty.
	Link int
	// Up says that it is administratively up.
	Up bool
	// MTU is in bytes.
	MTU int
	// Addresses are its IPv4 addresses with their prefix lengths, sorted.
	Addresses []string
	// Routes are those on the link in multinic's tables, in the words of `ip route show table all`, sorted.
	Routes []string
	// Rules are those of its addresses and those into its own table, in the words of `ip rule`, in the order of their
	// preference.
	Rules []string
}

// Observe words what a kernel has of the interface with a link and a name; the name may be one that the link does not
// bear yet, or empty.
func Observe(kernel Kernel, link int, name string) Observed {
	i := slices.IndexFunc(kernel.Links, func(l Link) bool { return l.Index == link })
	if i < 0 || link == 0 {
		return Observed{}
	}
	has := kernel.Links[i]
	observed := Observed{Link: link, Up: has.Up, MTU: has.MTU}

	var addresses []netip.Prefix
	for _, address := range has.Addresses {
		if address.Prefix.Addr().Is4() {
			addresses = append(addresses, address.Prefix)
		}
	}
	slices.SortFunc(addresses, netip.Prefix.Compare)
	for _, address := range addresses {
		observed.Addresses = append(observed.Addresses, address.String())
	}

	for _, route := range kernel.Routes {
		if route.Link == link && IsOurTable(route.Table) {
			observed.Routes = append(observed.Routes, route.text(has.Name))
		}
	}
	slices.Sort(observed.Routes)

	table, named := tableOf(name)
	rules := slices.Clone(kernel.Rules)
	slices.SortStableFunc(rules, func(a, b Rule) int { return a.Preference - b.Preference })
	for _, rule := range rules {
		if rule.Other {
			continue
		}
		if has.hasAddress(fromAddress(rule)) || named && rule.Table == table {
			preference, text, _ := strings.Cut(rule.text(), " ")
			observed.Rules = append(observed.Rules, preference+": "+text)
		}
	}
	return observed
}

// tableOf is the own table of the interface with a name, if it is one of ours.
func tableOf(name string) (table int, ours bool) {
	if !IsOurName(name) {
		return 0, false
	}
	nic, tagged, _ := strings.Cut(name, ".")
	number, _ := Number(nic)
	vlan, _ := strconv.Atoi(tagged) // Of an untagged interface there is none, which is 0.
	return place{number, vlan}.table(), true
}

// SharedRulesIn are the rules of a kernel that belong to no single interface, in the words of `ip rule`, in the order of their
// preference.
func SharedRulesIn(kernel Kernel) []string {
	var found []string
	for _, wanted := range sharedRules(kernel.Rules) {
		for _, rule := range kernel.Rules {
			if rule.asOurs() == wanted {
				preference, text, _ := strings.Cut(rule.text(), " ")
				found = append(found, preference+": "+text)
			}
		}
	}
	return found
}
