package plan

import "slices"

// Config is what a host's network manager is told of one NIC, so that it is the same after a boot as before.
type Config struct {
	// NIC is its name, such as "multinic0", and MAC its address.
	NIC string `json:"nic"`
	MAC string `json:"mac"`
	// ByName says that the NIC has no permanent address, as a veth has none: it is known by its name.
	ByName bool `json:"byName,omitempty"`
	// Interfaces are those of the NIC, ordered by VLAN. Without one of VLAN 0, the NIC itself carries nothing.
	Interfaces []Interface `json:"interfaces"`
	// Spoiled says that the files are not those that this version writes for the rest: no plan wants that.
	Spoiled bool `json:"spoiled,omitempty"`
	// First says that the host has definitions that would win over what its network manager is told of the NIC, but for further files.
	// It follows from the host's files, and no plan asks for it.
	First bool `json:"first,omitempty"`
	// Foreign is the file that somebody else has written where the NIC's would be. Then the rest is what was understood of it: without
	// a MAC, nothing was. Nil: there is none.
	Foreign *File `json:"foreign,omitempty"`
}

// File is a file as it was found.
type File struct {
	Text string `json:"text"`
	// Mode are its permissions.
	Mode uint32 `json:"mode"`
}

// Interface is what a Config says of one interface.
type Interface struct {
	// VLAN is the 802.1Q id; 0: the NIC itself.
	VLAN int  `json:"vlan"`
	Spec Spec `json:"spec"`
}

// Equal says whether two configurations are the same, but for First.
func (c Config) Equal(other Config) bool {
	return c.NIC == other.NIC && c.MAC == other.MAC && c.ByName == other.ByName && c.Spoiled == other.Spoiled &&
		slices.Equal(c.Interfaces, other.Interfaces) && c.Foreign.equal(other.Foreign)
}

func (f *File) equal(other *File) bool { return f == other || f != nil && other != nil && *f == *other }

// at is what a configuration says of an interface.
func (c Config) at(vlan int) (Spec, bool) {
	i := slices.IndexFunc(c.Interfaces, func(one Interface) bool { return one.VLAN == vlan })
	if i < 0 {
		return Spec{}, false
	}
	return c.Interfaces[i].Spec, true
}

// Laid is how an interface is laid out in the kernel.
type Laid struct {
	// Address is the interface's; an invalid Prefix: it has none, and then no routes and rules.
	Address Address
	// Routes are the interface's, in an order in which a kernel takes them. Their Link is not set.
	Routes []Route
	// Rules are the interface's, and then those for traffic that is bound to no address, which every interface needs.
	Rules []Rule
}

// LayOut says how an interface of a NIC is laid out. The NIC's name must be one of multinic0 to multinic9.
func LayOut(nic string, vlan int, spec Spec) Laid {
	number, _ := Number(nic)
	at := place{number, vlan}
	laid := Laid{Address: wantedAddress(spec), Routes: wantedRoutes(spec, at, 0), Rules: wantedRules(spec, at)}
	if len(laid.Rules) > 0 {
		laid.Rules = append(laid.Rules, sharedRules(nil)...)
	}
	return laid
}

// persistence is the change that makes the next boot make of a decision's card what this plan makes of it: none if it does so
// already, or nothing outlives a boot. Interfaces that are claimed and are not carried out stay as they are persisted.
func (d *decider) persistence(decision *Decision) []Change {
	if d.kernel.Persisted == nil {
		return nil
	}
	if change, planned := d.persists[decision.Card]; planned {
		return change
	}
	mac := decision.Item.Key.MAC
	wanted := Config{NIC: decision.NIC, MAC: mac, ByName: d.link(decision.Card).Kind != ""}
	for _, other := range d.decisions {
		if other.Item.Key.MAC == mac && other.Obstacle == None {
			wanted.Interfaces = append(wanted.Interfaces, Interface{other.Item.Key.VLAN, other.Item.Spec})
		}
	}
	is, persisted := d.kernel.Persisted[decision.NIC]
	for _, vlan := range d.claims[mac].VLANs {
		_, carriedOut := wanted.at(vlan)
		if spec, known := is.at(vlan); known && !carriedOut && is.MAC == mac {
			wanted.Interfaces = append(wanted.Interfaces, Interface{vlan, spec})
		}
	}
	slices.SortFunc(wanted.Interfaces, func(a, b Interface) int { return a.VLAN - b.VLAN })
	var changes []Change
	if !persisted || !is.Equal(wanted) {
		changes = []Change{Persist{&wanted}}
	}
	d.persists[decision.Card] = changes
	return changes
}

// releasePersistence is the change that makes the next boot know nothing of what is released. The rest is persisted as
// before.
func releasePersistence(release Release, claims Claims, kernel Kernel) []Change {
	nic := claims[release.MAC].Name
	is, persisted := kernel.Persisted[nic]
	if !persisted || is.MAC != release.MAC || is.Foreign != nil {
		return nil // Somebody else's file stays.
	}
	if release.Whole {
		return []Change{Forget{nic}}
	}
	wanted := is
	wanted.Interfaces = slices.DeleteFunc(slices.Clone(is.Interfaces), func(one Interface) bool {
		return slices.Contains(release.VLANs, one.VLAN)
	})
	if wanted.Equal(is) {
		return nil
	}
	return []Change{Persist{&wanted}}
}

// persistedOf are the configurations under the names of a card, and those of its MAC.
func (f Former) persistedOf(kernel Kernel) []Config {
	var all []Config
	for _, config := range kernel.Persisted {
		number, _ := Number(config.NIC)
		isOthers := config.Foreign != nil && config.MAC == "" // What was not understood is not touched.
		if !isOthers && (config.MAC == f.MAC || slices.Contains(f.Numbers, number)) {
			all = append(all, config)
		}
	}
	slices.SortFunc(all, func(a, b Config) int { n, _ := Number(a.NIC); m, _ := Number(b.NIC); return n - m })
	return all
}

// IsPersistedStill says whether the next boot makes of a card what it made of it before.
func (f Former) IsPersistedStill(kernel Kernel) bool {
	return slices.EqualFunc(f.Persisted, f.persistedOf(kernel), Config.Equal)
}

// restorePersisted makes the next boot make of a card what it made of it before.
func (f Former) restorePersisted(kernel Kernel) []Change {
	if kernel.Persisted == nil {
		return nil
	}
	var changes []Change
	is := f.persistedOf(kernel)
	for _, config := range is {
		if !slices.ContainsFunc(f.Persisted, func(was Config) bool { return was.NIC == config.NIC }) {
			changes = append(changes, Forget{config.NIC})
		}
	}
	for _, was := range f.Persisted {
		if !slices.ContainsFunc(is, was.Equal) {
			changes = append(changes, Persist{&was})
		}
	}
	return changes
}

// IsPersistence says whether a change is one of what outlives a boot, and not of the kernel.
func IsPersistence(change Change) bool {
	switch change.(type) {
	case Persist, Forget:
		return true
	}
	return false
}
