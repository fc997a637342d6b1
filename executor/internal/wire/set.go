// Package wire translates between the executor's values and the protocol's messages.
package wire

import (
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"slices"

	"multinic.dev/executor/internal/plan"
	"multinic.dev/executor/internal/work"
	multinicv1 "multinic.dev/proto/multinic/v1"
)

const (
	// maxItems is how many items, and how many removals, a WorkSet may have.
	maxItems = 64
	// maxVLAN is the highest 802.1Q id that is not reserved.
	maxVLAN = 4094
)

// mac is a MAC address as the protocol has it.
var mac = regexp.MustCompile(`^([0-9a-f]{2}:){5}[0-9a-f]{2}$`)

// ToSet makes a set of a WorkSet that came on a stream. An error says what makes the picture as a whole unusable; nothing
// of it must then be carried out. What concerns one item alone is that item's problem.
func ToSet(stream uint64, message *multinicv1.WorkSet) (work.Set, error) {
	if message.GetGeneration() == 0 {
		return work.Set{}, errors.New("its generation is 0: they count from 1")
	}
	for what, count := range map[string]int{"items": len(message.GetItems()), "removals": len(message.GetRemovals())} {
		if count > maxItems {
			return work.Set{}, fmt.Errorf("it has %d %s: %d are allowed", count, what, maxItems)
		}
	}
	seen := map[plan.Key]bool{}
	set := work.Set{Generation: work.Generation{Stream: stream, Number: message.GetGeneration()}, Retry: message.GetRetryGeneration()}
	for _, item := range message.GetItems() {
		key, err := toKey(item.GetKey(), seen)
		if err != nil {
			return work.Set{}, err
		}
		if item.GetRevision() == "" {
			return work.Set{}, fmt.Errorf("the item %s, VLAN %d, has no revision", key.MAC, key.VLAN)
		}
		set.Items = append(set.Items, toItem(key, item))
	}
	for _, removal := range message.GetRemovals() {
		key, err := toKey(removal, seen)
		if err != nil {
			return work.Set{}, err
		}
		set.Removals = append(set.Removals, key)
	}
	slices.SortFunc(set.Removals, work.CompareKeys)
	slices.SortFunc(set.Items, func(a, b work.Item) int { return work.CompareKeys(a.Key, b.Key) })

	return set, nil
}

// toKey makes a key that was not seen yet.
func toKey(message *multinicv1.Key, seen map[plan.Key]bool) (plan.Key, error) {
	if !mac.MatchString(message.GetMacAddress()) || message.GetVlanId() > maxVLAN {
		return plan.Key{}, fmt.Errorf("the key %q, VLAN %d, is none", message.GetMacAddress(), message.GetVlanId())
	}
	key := plan.Key{MAC: message.GetMacAddress(), VLAN: int(message.GetVlanId())}
	if seen[key] {
		return plan.Key{}, fmt.Errorf("the key %s, VLAN %d, stands in it twice", key.MAC, key.VLAN)
	}
	seen[key] = true

	return key, nil
}

func toItem(key plan.Key, message *multinicv1.WorkItem) work.Item {
	item := work.Item{Key: key, Rows: message.GetRowIds(), Revision: message.GetRevision()}
	if field := firstUnknown(message.GetKey(), message.GetSpec()); field != "" {
		item.Problem = work.Problem{
			State: multinicv1.State_STATE_UNSUPPORTED, Reason: multinicv1.Reason_REASON_SPEC_UNKNOWN,
			Message: fmt.Sprintf("the dispatcher asks for %s, which this executor does not know: upgrade the executor", field),
		}

		return item
	}
	spec, err := toSpec(message.GetSpec())
	if err != nil {
		item.Problem = work.Problem{
			State: multinicv1.State_STATE_REFUSED, Reason: multinicv1.Reason_REASON_SPEC_INVALID,
			Message: fmt.Sprintf("%v: correct the row", err),
		}

		return item
	}
	item.Spec = spec

	return item
}

// toSpec makes a spec that is well formed; whether it makes sense is for the plan to say. DNS servers are checked like
// the rest and then left out: they concern no kernel.
func toSpec(message *multinicv1.InterfaceSpec) (plan.Spec, error) {
	if message == nil {
		return plan.Spec{}, errors.New("the item says nothing of what the interface should be")
	}
	var spec plan.Spec
	var err error
	if text := message.GetAddress(); text != "" {
		if spec.Address, err = netip.ParsePrefix(text); err != nil || !spec.Address.Addr().Is4() {
			return plan.Spec{}, fmt.Errorf("the address %q is no IPv4 address with a prefix length", text)
		}
	}
	if text := message.GetGateway(); text != "" {
		if spec.Gateway, err = netip.ParseAddr(text); err != nil || !spec.Gateway.Is4() {
			return plan.Spec{}, fmt.Errorf("the gateway %q is no IPv4 address", text)
		}
	}
	for _, text := range message.GetDnsServers() {
		if server, err := netip.ParseAddr(text); err != nil || !server.Is4() {
			return plan.Spec{}, fmt.Errorf("the DNS server %q is no IPv4 address", text)
		}
	}
	const maxMTU = 1 << 16 // No kind of link has more; it also keeps the number an int everywhere.
	if message.GetMtu() > maxMTU {
		return plan.Spec{}, fmt.Errorf("the MTU %d is more than %d", message.GetMtu(), maxMTU)
	}
	spec.MTU = int(message.GetMtu())

	return spec, nil
}
