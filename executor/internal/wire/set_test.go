package wire_test

import (
	"fmt"
	"net/netip"
	"reflect"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"

	"multinic.dev/executor/internal/plan"
	"multinic.dev/executor/internal/wire"
	"multinic.dev/executor/internal/work"
	multinicv1 "multinic.dev/proto/multinic/v1"
)

const (
	macA = "02:00:00:00:00:0a"
	macB = "02:00:00:00:00:0b"
)

func key(mac string, vlan uint32) *multinicv1.Key {
	return &multinicv1.Key{MacAddress: mac, VlanId: vlan}
}

func item(mac string, spec *multinicv1.InterfaceSpec) *multinicv1.WorkItem {
	return &multinicv1.WorkItem{Key: key(mac, 0), RowIds: []int64{1}, Revision: "r1", Spec: spec}
}

func TestAWorkSetBecomesASetOrderedByKey(t *testing.T) {
	got, err := wire.ToSet(3, &multinicv1.WorkSet{Generation: 7, Items: []*multinicv1.WorkItem{
		item(macB, &multinicv1.InterfaceSpec{}),
		{Key: key(macA, 100), RowIds: []int64{4, 5}, Revision: "r2", Spec: &multinicv1.InterfaceSpec{Address: "192.0.2.10/24"}},
		item(macA, &multinicv1.InterfaceSpec{Address: "192.0.2.11/24", Gateway: "192.0.2.1", DnsServers: []string{"192.0.2.53"}, Mtu: 1400}),
	}, Removals: []*multinicv1.Key{key(macB, 100), key(macB, 99)}, RetryGeneration: 6})
	removals := []plan.Key{{MAC: macB, VLAN: 99}, {MAC: macB, VLAN: 100}}
	want := work.Set{Generation: work.Generation{Stream: 3, Number: 7}, Removals: removals, Retry: 6, Items: []work.Item{
		{Key: plan.Key{MAC: macA}, Rows: []int64{1}, Revision: "r1", Spec: plan.Spec{
			Address: netip.MustParsePrefix("192.0.2.11/24"), Gateway: netip.MustParseAddr("192.0.2.1"), MTU: 1400,
		}},
		{Key: plan.Key{MAC: macA, VLAN: 100}, Rows: []int64{4, 5}, Revision: "r2", Spec: plan.Spec{Address: netip.MustParsePrefix("192.0.2.10/24")}},
		{Key: plan.Key{MAC: macB}, Rows: []int64{1}, Revision: "r1"},
	}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v\nwant %+v", got, err, want)
	}
}

func TestAPictureThatCannotBeRightIsAnErrorAsAWhole(t *testing.T) {
	many := func(count int) (items []*multinicv1.WorkItem, keys []*multinicv1.Key) {
		for n := range count {
			items = append(items, item(fmt.Sprintf("02:00:00:00:00:%02x", n), &multinicv1.InterfaceSpec{}))
			keys = append(keys, items[n].GetKey())
		}

		return items, keys
	}
	full, _ := many(64)
	items, keys := many(65)
	good := item(macA, &multinicv1.InterfaceSpec{})
	for _, test := range []struct {
		name string
		set  *multinicv1.WorkSet
		want string
	}{
		{"nothing wrong", &multinicv1.WorkSet{Generation: 1, Items: full}, "<nil>"},
		{"no generation", &multinicv1.WorkSet{Items: full}, "its generation is 0: they count from 1"},
		{"too many items", &multinicv1.WorkSet{Generation: 1, Items: items}, "it has 65 items: 64 are allowed"},
		{"too many removals", &multinicv1.WorkSet{Generation: 1, Removals: keys}, "it has 65 removals: 64 are allowed"},
		{"upper case", &multinicv1.WorkSet{Generation: 1, Items: []*multinicv1.WorkItem{good, item("02:00:00:00:00:0B", nil)}}, `the key "02:00:00:00:00:0B", VLAN 0, is none`},
		{"no key", &multinicv1.WorkSet{Generation: 1, Items: []*multinicv1.WorkItem{{Revision: "r1"}}}, `the key "", VLAN 0, is none`},
		{"a reserved VLAN", &multinicv1.WorkSet{Generation: 1, Removals: []*multinicv1.Key{key(macA, 4095)}}, `the key "` + macA + `", VLAN 4095, is none`},
		{"a key twice", &multinicv1.WorkSet{Generation: 1, Items: []*multinicv1.WorkItem{good, good}}, "the key " + macA + ", VLAN 0, stands in it twice"},
		{"wanted and given up", &multinicv1.WorkSet{Generation: 1, Items: []*multinicv1.WorkItem{good}, Removals: []*multinicv1.Key{good.GetKey()}}, "the key " + macA + ", VLAN 0, stands in it twice"},
		{"no revision", &multinicv1.WorkSet{Generation: 1, Items: []*multinicv1.WorkItem{{Key: key(macA, 0), Spec: &multinicv1.InterfaceSpec{}}}}, "the item " + macA + ", VLAN 0, has no revision"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got, err := wire.ToSet(1, test.set); fmt.Sprint(err) != test.want {
				t.Errorf("got %+v, %v\nwant %s", got, err, test.want)
			}
		})
	}
}

func TestWhatIsWrongWithOneItemIsItsOwnProblem(t *testing.T) {
	later := &multinicv1.InterfaceSpec{Address: "192.0.2.10/24"}
	later.ProtoReflect().SetUnknown(protowire.AppendVarint(protowire.AppendTag(nil, 15, protowire.VarintType), 1))
	laterKey := item(macA, &multinicv1.InterfaceSpec{})
	laterKey.GetKey().ProtoReflect().SetUnknown(protowire.AppendVarint(protowire.AppendTag(nil, 3, protowire.VarintType), 1))
	for _, test := range []struct {
		name string
		item *multinicv1.WorkItem
		want string
	}{
		{"nothing", item(macA, &multinicv1.InterfaceSpec{}), "STATE_UNSPECIFIED REASON_UNSPECIFIED "},
		{"a field to come", item(macA, later), "STATE_UNSUPPORTED REASON_SPEC_UNKNOWN the dispatcher asks for field 15 of InterfaceSpec, which this executor does not know: upgrade the executor"},
		{"a kind of key to come", laterKey, "STATE_UNSUPPORTED REASON_SPEC_UNKNOWN the dispatcher asks for field 3 of Key, which this executor does not know: upgrade the executor"},
		{"no spec", item(macA, nil), "STATE_REFUSED REASON_SPEC_INVALID the item says nothing of what the interface should be: correct the row"},
		{"an address without length", item(macA, &multinicv1.InterfaceSpec{Address: "192.0.2.10"}), `STATE_REFUSED REASON_SPEC_INVALID the address "192.0.2.10" is no IPv4 address with a prefix length: correct the row`},
		{"an IPv6 address", item(macA, &multinicv1.InterfaceSpec{Address: "2001:db8::1/64"}), `STATE_REFUSED REASON_SPEC_INVALID the address "2001:db8::1/64" is no IPv4 address with a prefix length: correct the row`},
		{"a command", item(macA, &multinicv1.InterfaceSpec{Gateway: "; reboot"}), `STATE_REFUSED REASON_SPEC_INVALID the gateway "; reboot" is no IPv4 address: correct the row`},
		{"a resolver's name", item(macA, &multinicv1.InterfaceSpec{DnsServers: []string{"192.0.2.53", "dns"}}), `STATE_REFUSED REASON_SPEC_INVALID the DNS server "dns" is no IPv4 address: correct the row`},
		{"a huge MTU", item(macA, &multinicv1.InterfaceSpec{Mtu: 1 << 31}), "STATE_REFUSED REASON_SPEC_INVALID the MTU 2147483648 is more than 65536: correct the row"},
	} {
		t.Run(test.name, func(t *testing.T) {
			set, err := wire.ToSet(1, &multinicv1.WorkSet{Generation: 1, Items: []*multinicv1.WorkItem{item(macB, &multinicv1.InterfaceSpec{}), test.item}})
			if err != nil {
				t.Fatal(err)
			}
			its, other := set.Items[0].Problem, set.Items[1].Problem
			if got := fmt.Sprintf("%s %s %s", its.State, its.Reason, its.Message); got != test.want {
				t.Errorf("its problem: %s\nwant: %s", got, test.want)
			}
			if (other != work.Problem{}) {
				t.Errorf("the other item has a problem: %+v", other)
			}
		})
	}
}
