package worker_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"

	"multinic.dev/executor/internal/plan"
	"multinic.dev/executor/internal/transaction"
	"multinic.dev/executor/internal/worker"
)

// fakeKernel plays the kernel, as far as a worker's work goes; contract_test.go holds it to the real one.
type fakeKernel struct {
	mu sync.Mutex // guards the others
	// has is what Read shows.
	has plan.Kernel
	// applied are the changes that were asked for, in their order.
	applied []string
	reads   int
	wake    func()

	// deaf ends the watch with what is put into it.
	deaf chan error
	// unreadable is why it cannot be read; nil: it can.
	unreadable error
	// refuse says why a change is refused; nil: it is not.
	refuse func(plan.Change) error
	// swallow says that a change is taken without an error, and not made.
	swallow func(plan.Change) bool
	// before is called before a change is made.
	before func(plan.Change)
}

var (
	_ worker.Kernel      = &fakeKernel{}
	_ transaction.Kernel = &fakeKernel{}
)

// newFakeKernel has a bare card for each MAC: eth1, eth2 and so on, by the index.
func newFakeKernel(macs ...string) *fakeKernel {
	k := &fakeKernel{
		refuse: func(plan.Change) error { return nil }, swallow: func(plan.Change) bool { return false }, before: func(plan.Change) {}, wake: func() {},
		deaf: make(chan error),
	}
	k.has.Links = []plan.Link{{Index: 1, Name: "lo", Loopback: true, Up: true, MTU: 65536}}
	for _, mac := range macs {
		k.plugIn(mac)
	}

	return k
}

func (k *fakeKernel) plugIn(mac string) {
	index := len(k.has.Links) + 1
	settings := map[string]string{}
	for _, setting := range plan.Settings() {
		settings[setting.Path] = "0"
		if setting.Value == "0" {
			settings[setting.Path] = "1"
		}
	}
	k.has.Links = append(k.has.Links, plan.Link{
		Index: index, Name: fmt.Sprintf("eth%d", index-1), MAC: mac, Kind: "veth", MTU: 1500, Settings: settings,
	})
}

// Settings are those of a link, whatever its name.
func (k *fakeKernel) Settings(name string) (map[string]string, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, link := range k.has.Links {
		if link.Name == name {
			return maps.Clone(link.Settings), nil
		}
	}

	return map[string]string{}, nil
}

// happen lets something happen that is none of the executor's doing.
func (k *fakeKernel) happen(what func()) {
	k.mu.Lock()
	what()
	k.mu.Unlock()
	k.wake()
}

// took returns the changes that were asked for since the last time.
func (k *fakeKernel) took() []string {
	k.mu.Lock()
	defer k.mu.Unlock()
	applied := k.applied
	k.applied = nil

	return applied
}

// Read is stricter than the real one, which gives up for the context's sake only between attempts.
func (k *fakeKernel) Read(ctx context.Context) (plan.Kernel, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.reads++
	if ctx.Err() != nil {
		return plan.Kernel{}, ctx.Err()
	}
	if k.unreadable != nil {
		return plan.Kernel{}, k.unreadable
	}
	copied := plan.Kernel{Links: slices.Clone(k.has.Links), Routes: slices.Clone(k.has.Routes), Rules: slices.Clone(k.has.Rules)}
	for i := range copied.Links {
		copied.Links[i].Addresses = slices.Clone(copied.Links[i].Addresses)
		copied.Links[i].Settings = maps.Clone(copied.Links[i].Settings)
		if !plan.IsOurName(copied.Links[i].Name) {
			copied.Links[i].Settings = nil
		}
	}

	return copied, nil
}

// Surroundings shows what has.Elsewhere says.
func (k *fakeKernel) Surroundings(_ context.Context, kernel *plan.Kernel) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	kernel.Elsewhere = maps.Clone(k.has.Elsewhere)

	return nil
}

func (k *fakeKernel) Watch(ctx context.Context, wake func()) error {
	k.mu.Lock()
	k.wake = wake
	k.mu.Unlock()
	wake()
	select {
	case <-ctx.Done():
		return nil
	case err := <-k.deaf:
		return err
	}
}

func (k *fakeKernel) Apply(change plan.Change) error {
	k.before(change)
	k.mu.Lock()
	defer k.mu.Unlock()
	k.applied = append(k.applied, change.String())
	err := k.refuse(change)
	if err == nil && !k.swallow(change) {
		err = k.apply(change)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", change, err)
	}
	k.wake()

	return nil
}

func (k *fakeKernel) apply(change plan.Change) error {
	switch c := change.(type) {
	case plan.Rename:
		return k.withLink(c.Link, func(link *plan.Link) { link.Name = c.To })
	case plan.SetUp:
		return k.withLink(c.Link, func(link *plan.Link) { link.Up = true })
	case plan.SetDown:
		k.has.Routes = slices.DeleteFunc(k.has.Routes, func(r plan.Route) bool { return r.Link == c.Link })
		return k.withLink(c.Link, func(link *plan.Link) { link.Up = false })
	case plan.SetMTU:
		return k.withLink(c.Link, func(link *plan.Link) { link.MTU = c.MTU })
	case plan.Set:
		words := strings.Split(c.Path, "/")
		i := slices.IndexFunc(k.has.Links, func(l plan.Link) bool { return l.Name == words[2] })
		if i < 0 {
			return errGone
		}
		words[2] = "%s"
		k.has.Links[i].Settings[strings.Join(words, "/")] = c.Value
	case plan.AddAddress:
		return k.withLink(c.Link, func(link *plan.Link) { link.Addresses = with(link.Addresses, c.Address) })
	case plan.RemoveAddress:
		k.has.Routes = slices.DeleteFunc(k.has.Routes, func(r plan.Route) bool { return r.Source == c.Address.Prefix.Addr() })
		return k.withLink(c.Link, func(link *plan.Link) {
			link.Addresses = slices.DeleteFunc(link.Addresses, func(a plan.Address) bool { return a.Prefix == c.Address.Prefix })
		})
	case plan.AddRoute:
		return k.addRoute(c.Route)
	case plan.RemoveRoute:
		k.has.Routes = without(k.has.Routes, c.Route)
	case plan.AddRule:
		k.has.Rules = with(k.has.Rules, c.Rule)
	case plan.RemoveRule:
		k.has.Rules = without(k.has.Rules, c.Rule)
	}

	return nil
}

func (k *fakeKernel) addRoute(route plan.Route) error {
	isLocal := slices.ContainsFunc(k.has.Links, func(l plan.Link) bool {
		return slices.ContainsFunc(l.Addresses, func(a plan.Address) bool { return a.Prefix.Addr() == route.Source })
	})
	if !isLocal {
		return errors.New("invalid argument")
	}
	k.has.Routes = slices.DeleteFunc(k.has.Routes, func(r plan.Route) bool {
		return r.Table == route.Table && r.To == route.To && r.Metric == route.Metric
	})
	k.has.Routes = append(k.has.Routes, route)

	return nil
}

var errGone = errors.New("the link is gone")

func (k *fakeKernel) withLink(index int, change func(*plan.Link)) error {
	i := slices.IndexFunc(k.has.Links, func(l plan.Link) bool { return l.Index == index })
	if i < 0 {
		return errGone
	}
	change(&k.has.Links[i])

	return nil
}

func with[T comparable](all []T, one T) []T { return append(without(all, one), one) }

func without[T comparable](all []T, one T) []T {
	return slices.DeleteFunc(slices.Clone(all), func(each T) bool { return each == one })
}

// describe is what a kernel has of the link with macA, and all of its routes and rules that are multinic's.
func describe(kernel plan.Kernel) string {
	var lines []string
	names := map[int]string{}
	for _, link := range kernel.Links {
		names[link.Index] = link.Name
		if link.MAC != macA {
			continue
		}
		lines = append(lines, fmt.Sprintf("link %s up %v mtu %d", link.Name, link.Up, link.MTU))
		for _, address := range link.Addresses {
			if address.Prefix.Addr().Is4() {
				lines = append(lines, fmt.Sprintf("address %s noprefixroute %v", address.Prefix, address.NoPrefixRoute))
			}
		}
		for _, path := range slices.Sorted(maps.Keys(link.Settings)) {
			if strings.HasPrefix(path, "ipv4") {
				lines = append(lines, "set "+path+"="+link.Settings[path])
			}
		}
	}
	for _, route := range kernel.Routes {
		if route.Protocol == plan.Protocol {
			lines = append(lines, plan.AddRoute{Route: route, Name: names[route.Link]}.String())
		}
	}
	for _, rule := range kernel.Rules {
		if rule.Protocol == plan.Protocol {
			lines = append(lines, plan.AddRule{Rule: rule}.String())
		}
	}
	slices.Sort(lines)

	return strings.Join(lines, "\n")
}

func prefix(text string) netip.Prefix { return netip.MustParsePrefix(text) }
