package transaction_test

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"multinic.dev/executor/internal/plan"
	"multinic.dev/executor/internal/transaction"
	"multinic.dev/testbed/oracle"
)

// drifts are what somebody may put on a card of ours.
func drifts() map[string]string {
	return map[string]string{
		"a route for a type of service":     "route add 203.0.113.0/24 tos 0x10 dev multinic0",
		"a next hop of IPv6":                "route add 203.0.113.0/24 via inet6 fe80::1 dev multinic0 table 78",
		"a next hop that no route leads to": "route add 203.0.113.0/24 via 10.99.99.1 dev multinic0 onlink table 77",
		"a blackhole":                       "route add blackhole 203.0.113.0/24 table 1835925504",
		"an IPv6 address":                   "address add 2001:db8::5/64 dev multinic0",
		"an address for the host alone":     "address add 203.0.113.9/32 scope host dev multinic0",
		"a second address":                  "address add 198.51.100.12/24 dev multinic0",
		"a point-to-point address":          "address add 203.0.113.9 peer 203.0.113.10/32 dev multinic0",
		"a route from elsewhere":            "route add 203.0.113.0/24 dev multinic0 src 192.0.2.5",
		"several next hops":                 "route add 203.0.113.0/24 nexthop dev multinic0 nexthop dev eth0",
		"a rule into its table":             "rule add pref 100 from 203.0.113.9 table 1835925504",
		"a macvlan":                         "link add mv0 link multinic0 type macvlan mode bridge",
	}
}

// with runs a test with an executor on the stage's node.
func (s *stage) with(test func(e *effects, t *transaction.Transactor)) {
	s.Helper()
	err := s.node.Do(func() error {
		e, err := open(s.dir)
		if err != nil {
			return err
		}
		defer e.Close()
		test(e, e.transactor())

		return nil
	})
	if err != nil {
		s.Fatal(err)
	}
}

// TestWhateverSomebodyHasPutOnACardItIsChangedAndPutBack changes a card that drifted, and fails to, after which another card must
// be as easy to change as ever.
func TestWhateverSomebodyHasPutOnACardItIsChangedAndPutBack(t *testing.T) {
	number := 0
	for _, name := range slices.Sorted(maps.Keys(drifts())) {
		t.Run(name, func(t *testing.T) {
			number++
			s := newStage(t, "drift"+string(rune('a'+number)))
			s.life([]oracle.Row{{MAC: macA, Address: "198.51.100.10", Mask: "24"}}, -1, "")
			s.node.IP(strings.Fields(drifts()[name])...)
			is := func() string {
				lines := strings.Split(s.texts()[macA], "\n")
				slices.Sort(lines) // Addresses have no order that matters.

				return strings.Join(lines, "\n")
			}
			before := is()
			s.with(func(e *effects, tr *transaction.Transactor) {
				changed, other := oracle.Row{MAC: macA, Address: "203.0.113.11", Mask: "24"}, oracle.Row{MAC: macB, Address: "192.0.3.12", Mask: "24"}
				e.refused = "address delete 198.51.100.10"
				if failures := tr.Make(t.Context(), transaction.Order{Items: itemsOf([]oracle.Row{changed})}); len(failures) == 0 {
					t.Error("nothing has failed")
				}
				if after := is(); after != before {
					t.Errorf("the card was\n%s\nand was put back to\n%s", before, after)
				}
				for _, failure := range tr.Make(t.Context(), transaction.Order{Items: itemsOf([]oracle.Row{other})}) {
					t.Errorf("another card: %v", failure.Cause())
				}
				e.refused = ""
				for _, failure := range tr.Make(t.Context(), transaction.Order{Items: itemsOf([]oracle.Row{changed, other})}) {
					t.Errorf("the card itself: %v", failure.Cause())
				}
				kernel, err := e.Kernel.Read(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				for _, decision := range plan.Decide(itemsOf([]oracle.Row{changed, other}), nil, kernel).Decisions {
					if decision.Obstacle == plan.None && len(decision.Changes) > 0 {
						t.Errorf("left to be done: %v", decision.Changes)
					}
				}
			})
		})
	}
}

// TestWhatSomebodyElseHasPutOnACardHoldsUpNobodyThoughItCannotBePutBack has a route on a card that goes with the card's change, and
// that the kernel then does not take again, and the change fails.
func TestWhatSomebodyElseHasPutOnACardHoldsUpNobodyThoughItCannotBePutBack(t *testing.T) {
	for what, test := range map[string]struct {
		never string
		ends  bool
	}{
		"a foreign route": {"route replace 203.0.113.0/24 dev multinic0 scope link", true},
		"our own route":   {"route replace 198.51.100.0/24 dev multinic0 table 1835925504", false},
	} {
		t.Run(what, func(t *testing.T) {
			s := newStage(t, strings.ReplaceAll(what[:4], " ", ""))
			s.life([]oracle.Row{{MAC: macA, Address: "198.51.100.10", Mask: "24"}}, -1, "")
			s.node.IP("route", "add", "203.0.113.0/24", "dev", "multinic0")
			s.with(func(e *effects, tr *transaction.Transactor) {
				e.refused, e.never = "address delete 198.51.100.10", test.never
				changed, other := oracle.Row{MAC: macA, Address: "192.0.4.11", Mask: "24"}, oracle.Row{MAC: macB, Address: "192.0.3.12", Mask: "24"}
				if failures := tr.Make(t.Context(), transaction.Order{Items: itemsOf([]oracle.Row{changed})}); len(failures) == 0 {
					t.Error("nothing has failed")
				}
				failures := tr.Make(t.Context(), transaction.Order{Items: itemsOf([]oracle.Row{other})})
				if (len(failures) == 0) != test.ends {
					t.Errorf("another card then: %v", failures)
				}
			})
		})
	}
}
