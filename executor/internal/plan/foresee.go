package plan

import (
	"maps"
	"slices"
	"strings"
)

// Foreseen are the changes that would be made, one plan after the other, were nothing refused.
type Foreseen struct {
	// Items are the changes by the item for which they are made, and Releases what becomes of them by the MAC of the card that is
	// given up.
	Items    map[Key][]Change
	Releases map[string]Released
	// Shared are those of what belongs to no single interface.
	Shared []Change
}

// mostForeseen is how many plans are looked ahead; none takes more.
const mostForeseen = 4

// Foresee says what would be done for releases, and then for items, of which those that have an obstacle are left out. The links
// of the cards must have their Settings, whatever their names.
func Foresee(items []Item, releases []Release, claims Claims, kernel Kernel) Foreseen {
	foreseen := Foreseen{Items: map[Key][]Change{}, Releases: map[string]Released{}}
	claims = maps.Clone(claims)
	for range mostForeseen {
		for _, release := range releases {
			next := Releases(release, claims, kernel)
			kernel = after(kernel, next.Changes)
			next.Changes = append(foreseen.Releases[release.MAC].Changes, next.Changes...)
			foreseen.Releases[release.MAC] = next
		}
	}
	for _, release := range releases {
		if foreseen.Releases[release.MAC].Obstacle != None {
			continue
		}
		claim := claims[release.MAC]
		claim.VLANs = slices.DeleteFunc(slices.Clone(claim.VLANs), func(vlan int) bool { return slices.Contains(release.VLANs, vlan) })
		claims[release.MAC] = claim
		if release.Whole {
			delete(claims, release.MAC)
		}
	}
	for range mostForeseen {
		p := Decide(items, claims, kernel)
		var made []Change
		for _, decision := range p.Decisions {
			key := decision.Item.Key
			if decision.Obstacle != None {
				continue
			}
			for _, change := range decision.Changes {
				if !slices.Contains(made, change) {
					made = append(made, change)
					foreseen.Items[key] = append(foreseen.Items[key], change)
				}
			}
			if !claims.has(key) {
				claims[key.MAC] = Claim{Name: decision.NIC, VLANs: append(slices.Clone(claims[key.MAC].VLANs), key.VLAN)}
			}
		}
		foreseen.Shared = append(foreseen.Shared, p.Shared...)
		kernel = after(kernel, append(made, p.Shared...))
	}
	return foreseen
}

// after is a kernel after changes, as far as they tell; what a kernel does beyond that only another plan would put right.
func after(kernel Kernel, changes []Change) Kernel {
	kernel.Links, kernel.Routes, kernel.Rules = slices.Clone(kernel.Links), slices.Clone(kernel.Routes), slices.Clone(kernel.Rules)
	kernel.Persisted = maps.Clone(kernel.Persisted)
	for i := range kernel.Links {
		kernel.Links[i].Addresses = slices.Clone(kernel.Links[i].Addresses)
		kernel.Links[i].Settings = maps.Clone(kernel.Links[i].Settings)
	}
	for _, change := range changes {
		kernel.make(change)
	}
	return kernel
}

func (k *Kernel) make(change Change) {
	switch c := change.(type) {
	case Rename:
		k.at(c.Link).Name = c.To
	case SetUp:
		k.at(c.Link).Up = true
	case SetDown:
		k.at(c.Link).Up = false
		k.dropRoutes(c.Link)
	case SetMTU:
		k.at(c.Link).MTU = c.MTU
	case Set:
		k.set(c)
	case AddVLAN:
		k.addVLAN(c)
	case RemoveVLAN:
		k.Links = slices.DeleteFunc(k.Links, func(l Link) bool { return l.Index == c.Link })
		k.dropRoutes(c.Link)
	case AddAddress:
		link := k.at(c.Link)
		link.Addresses = append(link.Addresses, c.Address)
	case RemoveAddress:
		link := k.at(c.Link)
		link.Addresses = slices.DeleteFunc(link.Addresses, func(a Address) bool { return a == c.Address })
		if !slices.ContainsFunc(link.Addresses, func(a Address) bool { return a.Prefix.Addr().Is4() }) {
			k.dropRoutes(c.Link)
		}
	case AddRoute:
		k.Routes = slices.DeleteFunc(k.Routes, c.Route.replaces)
		k.Routes = append(k.Routes, c.Route)
	case RemoveRoute:
		k.Routes = slices.DeleteFunc(k.Routes, func(r Route) bool { return r == c.Route })
	case AddRule:
		k.Rules = append(k.Rules, c.Rule)
	case RemoveRule:
		k.Rules = slices.DeleteFunc(k.Rules, func(r Rule) bool { return r == c.Rule })
	case Persist:
		k.Persisted[c.Config.NIC] = *c.Config
	case Forget:
		delete(k.Persisted, c.NIC)
	}
}

// at is the link with an index; one that is not there is one that nobody looks at.
func (k *Kernel) at(index int) *Link {
	if i := slices.IndexFunc(k.Links, func(l Link) bool { return l.Index == index }); i >= 0 {
		return &k.Links[i]
	}
	return &Link{}
}

func (k *Kernel) dropRoutes(link int) {
	k.Routes = slices.DeleteFunc(k.Routes, func(r Route) bool { return r.Link == link && !r.Multipath })
}

func (k *Kernel) set(c Set) {
	for i := range k.Links {
		link := &k.Links[i]
		path := strings.Replace(c.Path, "/"+link.Name+"/", "/%s/", 1)
		if _, there := link.Settings[path]; there && path != c.Path {
			link.Settings[path] = c.Value
		}
	}
}

// addVLAN adds a VLAN with an index that no link has. Its settings are not known, and are all set.
func (k *Kernel) addVLAN(c AddVLAN) {
	vlan := Link{Name: c.Name, MAC: k.at(c.Card).MAC, Kind: kindVLAN, Lower: c.Card, VLAN: c.ID, MTU: k.at(c.Card).MTU}
	for _, link := range k.Links {
		vlan.Index = max(vlan.Index, link.Index+1)
	}
	vlan.Settings = map[string]string{}
	for _, setting := range Settings() {
		vlan.Settings[setting.Path] = ""
	}
	k.Links = append(k.Links, vlan)
}
