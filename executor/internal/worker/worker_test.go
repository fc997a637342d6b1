package worker_test

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"multinic.dev/executor/internal/plan"
	"multinic.dev/executor/internal/record"
	"multinic.dev/executor/internal/work"
	multinicv1 "multinic.dev/proto/multinic/v1"
)

// theChanges are all that is done for a card that was bare, but for the shared rules.
func theChanges(link, name, address, table string) []string {
	host, _, _ := strings.Cut(address, "/")
	near := prefix(address).Masked()
	metric := map[string]string{"multinic0": "1", "multinic1": "4097"}[name]

	return []string{
		"link set " + link + " name " + name,
		"sysctl net/ipv4/conf/" + name + "/arp_ignore=1",
		"sysctl net/ipv4/conf/" + name + "/arp_announce=2",
		"sysctl net/ipv4/conf/" + name + "/rp_filter=2",
		"sysctl net/ipv6/conf/" + name + "/accept_ra=0",
		"link set " + name + " up",
		"address add " + address + " dev " + name + " noprefixroute",
		fmt.Sprintf("route replace %s dev %s table %s proto 109 scope link src %s", near, name, table, host),
		fmt.Sprintf("route replace %s dev %s table 1835925503 proto 109 scope link src %s metric %s", near, name, host, metric),
		"rule add pref 25000 from " + host + " lookup " + table + " suppress_prefixlength 0 proto 109",
		"rule add pref 25001 from " + host + " lookup main suppress_prefixlength 0 proto 109",
		"rule add pref 25002 from " + host + " lookup " + table + " proto 109",
	}
}

// together are the changes of several cards in one transaction: all are claimed, then all prepared, then all get what they carry.
func together(claims []string, cards ...[]string) []string {
	var prepare, rest []string
	for _, changes := range cards {
		i := slices.IndexFunc(changes, func(change string) bool { return strings.HasPrefix(change, "address add") })
		prepare, rest = append(prepare, changes[:i]...), append(rest, changes[i:]...)
	}

	return slices.Concat(claims, prepare, rest, sharedRules())
}

// sharedRules are what is done once for all of a node's interfaces.
func sharedRules() []string {
	return []string{
		"rule add pref 32764 from all lookup main suppress_prefixlength 0 proto 109",
		"rule add pref 32765 from all lookup 1835925503 proto 109",
	}
}

func TestTheCardIsClaimedBeforeAnythingIsDoneToItAndAllIsProvedByTheKernel(t *testing.T) {
	play(t, []string{macB, macA}, func(b *bench) {
		b.want(1, 5, item(macA, "r1", "192.0.2.10/24"), item(macB, "r2", "198.51.100.10/24"))
		b.expect("stream 1 generation 5", "a r1 multinic0 READY", "b r2 multinic1 READY")
		want := together([]string{"claim " + macA + " multinic0", "claim " + macB + " multinic1"},
			theChanges("eth2", "multinic0", "192.0.2.10/24", "1835925504"), theChanges("eth1", "multinic1", "198.51.100.10/24", "1835929600"))
		if got := b.kernel.took(); !slices.Equal(got, want) {
			b.Errorf("done:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
		spec := func(address string) *plan.Spec { return &plan.Spec{Address: prefix(address)} }
		for i, want := range []record.Card{
			{MAC: macA, Name: "multinic0", Interfaces: []record.Interface{{Proved: spec("192.0.2.10/24")}}},
			{MAC: macB, Name: "multinic1", Interfaces: []record.Interface{{Proved: spec("198.51.100.10/24")}}},
		} {
			got := b.record.Cards()[i]
			if got.MAC != want.MAC || got.Name != want.Name || !reflect.DeepEqual(got.Interfaces, want.Interfaces) || got.Was.Name != fmt.Sprint("eth", 2-i) {
				b.Errorf("recorded: %+v, want %+v", got, want)
			}
		}
		report, _ := b.reports.Get()
		if got := fmt.Sprint(report.Results[0].Observed.Addresses, report.Results[0].Observed.Up); got != "[192.0.2.10/24] true" {
			b.Errorf("observed: %s", got)
		}
		if *b.meter != (meter{reported: 2, ready: 2, activated: 1}) {
			b.Errorf("counted: %+v", *b.meter)
		}
	})
}

func TestBeforeAWorkSetThereIsAReportOfWhatStandsAndNothingIsTouched(t *testing.T) {
	play(t, []string{macA, macB}, func(b *bench) {
		b.expect("stream 0 generation 0")
		b.want(1, 1, item(macA, "r1", "192.0.2.10/24"), item(macB, "r2", "198.51.100.10/24"))
		b.end()
		b.kernel.took()

		b.restart()
		b.expect("stream 0 generation 0", "a  multinic0 READY", "b  multinic1 READY")
		b.kernel.happen(func() { b.kernel.has.Links[1].Up = false })
		b.settle()
		b.expect("stream 0 generation 0",
			"a  multinic0 FAILED VERIFICATION_FAILED: the kernel still lacks: link set multinic0 up", "b  multinic1 READY")
		b.kernel.happen(func() { b.kernel.has.Rules = b.kernel.has.Rules[:len(b.kernel.has.Rules)-2] })
		b.settle()
		b.expect("stream 0 generation 0", "a  multinic0 FAILED VERIFICATION_FAILED: the kernel still lacks: link set multinic0 up",
			"b  multinic1 FAILED VERIFICATION_FAILED: the kernel still lacks: "+strings.Join(sharedRules(), "; "))
		if got := b.kernel.took(); len(got) != 0 {
			b.Errorf("touched: %q", got)
		}
		// The control: a WorkSet puts it right.
		b.want(1, 1, item(macA, "r1", "192.0.2.10/24"))
		b.expect("stream 1 generation 1", "a r1 multinic0 READY", "b  multinic1 READY")
	})
}

func TestAnInterfaceThatNoWorkSetNamesIsReportedAsItStandsAndNotTouched(t *testing.T) {
	play(t, []string{macA, macB}, func(b *bench) {
		b.want(1, 1, item(macA, "r1", "192.0.2.10/24"), item(macB, "r2", "198.51.100.10/24"))
		b.want(1, 2, item(macB, "r2", "198.51.100.10/24"))
		b.expect("stream 1 generation 2", "a  multinic0 READY", "b r2 multinic1 READY")
		b.want(1, 3)
		b.expect("stream 1 generation 3", "a  multinic0 READY", "b  multinic1 READY")
		b.kernel.took()
		b.kernel.happen(func() { b.kernel.has.Links[1].Addresses, b.kernel.has.Rules = nil, nil })
		b.settle()
		report, _ := b.reports.Get()
		if a := report.Results[0]; a.State() != multinicv1.State_STATE_FAILED || !strings.HasPrefix(a.Problem.Message, "the kernel still lacks: address add 192.0.2.10/24 ") {
			b.Errorf("without its address: %+v", a)
		}
		if got := b.kernel.took(); slices.ContainsFunc(got, func(c string) bool { return strings.Contains(c, "multinic") }) {
			b.Errorf("touched: %q", got)
		}
	})
}

func TestAClaimedCardOfWhichNothingWasProvedIsSaidToBeSo(t *testing.T) {
	play(t, []string{macA}, func(b *bench) {
		b.end()
		opened, err := record.Open(b.dir)
		if err != nil {
			b.Fatal(err)
		}
		if err := opened.Claim(plan.Key{MAC: macA}, "multinic3", record.Was{}); err != nil {
			b.Fatal(err)
		}
		b.restart()
		b.expect("stream 0 generation 0",
			"a  multinic3 FAILED VERIFICATION_FAILED: nothing was ever proved of it: it stays as it is until the table asks for something")
		b.want(1, 1, item(macA, "r1", ""))
		b.expect("stream 1 generation 1", "a r1 multinic3 READY")
	})
}

func TestTheSameAgainUnderOtherRowsTouchesNothingAndIsProvedAnew(t *testing.T) {
	play(t, []string{macA}, func(b *bench) {
		b.want(1, 1, item(macA, "r1", "192.0.2.10/24"))
		b.kernel.took()
		file, err := os.Stat(filepath.Join(b.dir, "interfaces.json"))
		if err != nil {
			b.Fatal(err)
		}
		again := item(macA, "r1", "192.0.2.10/24")
		again.Rows = []int64{99}
		b.want(1, 2, again)
		b.expect("stream 1 generation 2", "a r1 multinic0 READY")
		b.want(2, 1, again)
		b.expect("stream 2 generation 1", "a r1 multinic0 READY")
		b.end()
		b.restart()
		b.want(1, 1, again)
		b.expect("stream 1 generation 1", "a r1 multinic0 READY")
		if got := b.kernel.took(); len(got) != 0 {
			b.Errorf("touched: %q", got)
		}
		if now, err := os.Stat(filepath.Join(b.dir, "interfaces.json")); err != nil || !os.SameFile(file, now) {
			b.Errorf("the record was written again: %v", err)
		}
	})
}

func TestAChangedItemIsBroughtFromWhatItWasToWhatItShouldBe(t *testing.T) {
	play(t, []string{macA}, func(b *bench) {
		b.want(1, 1, item(macA, "r1", "192.0.2.10/24"))
		b.want(1, 2, item(macA, "r2", "192.0.2.11/24"))
		b.expect("stream 1 generation 2", "a r2 multinic0 READY")
		if got := describe(read(b.T, b.kernel)); strings.Contains(got, "192.0.2.10") || !strings.Contains(got, "192.0.2.11") {
			b.Errorf("there is\n%s", got)
		}
	})
}

func TestTheSharedRulesComeAndGoWithTheAddresses(t *testing.T) {
	play(t, []string{macA}, func(b *bench) {
		for generation := uint64(1); generation <= 7; generation += 2 {
			b.want(1, generation, item(macA, "r1", "192.0.2.10/24"))
			b.expect(fmt.Sprintf("stream 1 generation %d", generation), "a r1 multinic0 READY")
			b.want(1, generation+1, item(macA, "r2", ""))
			b.expect(fmt.Sprintf("stream 1 generation %d", generation+1), "a r2 multinic0 READY")
			if left := b.kernel.has.Rules; len(left) != 0 {
				b.Errorf("rules are left: %v", left)
			}
		}
	})
}

func TestACardThatIsNotThereYetIsConfiguredTheMomentItIsPluggedIn(t *testing.T) {
	play(t, nil, func(b *bench) {
		b.want(1, 1, item(macA, "r1", "192.0.2.10/24"))
		b.expect("stream 1 generation 1", "a r1  WAITING_FOR_LINK LINK_NOT_FOUND: no NIC of this node has the MAC address "+macA+": attach it, or correct the MAC address")
		b.kernel.happen(func() { b.kernel.plugIn(macA) })
		b.settle()
		b.expect("stream 1 generation 1", "a r1 multinic0 READY")
	})
}

func TestACardInUseIsRefusedUntouchedAndTheRefusalIsSaidOnce(t *testing.T) {
	play(t, []string{macA, macB}, func(b *bench) {
		b.kernel.has.Links[1].Addresses = []plan.Address{{Prefix: prefix("10.0.0.1/24")}}
		for generation := uint64(1); generation <= 3; generation++ {
			b.want(1, generation, item(macA, "r1", "192.0.2.10/24"))
			b.kernel.happen(func() {})
			b.settle()
		}
		b.expect("stream 1 generation 3", "a r1  REFUSED LINK_IN_USE: eth1 ("+macA+") is in use by something else: it has the address 10.0.0.1/24; free the NIC first, or delete its row")
		if got := b.kernel.took(); len(got) != 0 {
			b.Errorf("touched: %q", got)
		}
		said := b.logs.FilterMessage("not as it should be").All()
		if len(said) != 1 || b.logs.Len() != 1 {
			b.Fatalf("said %v, want the refusal once", b.logs.All())
		}
		fields := said[0].ContextMap()
		for key, want := range map[string]string{
			"mac": macA, "row": "[7]", "revision": "r1", "generation": "1", "state": "STATE_REFUSED", "reason": "REASON_LINK_IN_USE",
		} {
			if got := fmt.Sprint(fields[key]); got != want {
				b.Errorf("the log's %s is %s, want %s", key, got, want)
			}
		}
		b.kernel.happen(func() { b.kernel.has.Links[1].Addresses = nil }) // The control.
		b.settle()
		b.expect("stream 1 generation 3", "a r1 multinic0 READY")
	})
}

func TestAnItemWithAProblemOfItsOwnIsNotTouchedAndHoldsUpNoOther(t *testing.T) {
	play(t, []string{macA, macB}, func(b *bench) {
		b.want(1, 1, item(macA, "r1", "192.0.2.10/24"))
		unknown := item(macA, "r9", "")
		unknown.Problem = work.Problem{State: multinicv1.State_STATE_UNSUPPORTED, Reason: multinicv1.Reason_REASON_SPEC_UNKNOWN, Message: "unknown"}
		b.kernel.took()
		b.want(1, 2, unknown, item(macB, "r2", ""))
		b.expect("stream 1 generation 2", "a r9 multinic0 UNSUPPORTED SPEC_UNKNOWN: unknown", "b r2 multinic1 READY")
		for _, change := range b.kernel.took() {
			if strings.Contains(change, "multinic0") || strings.HasPrefix(change, "rule") {
				b.Errorf("touched: %s", change)
			}
		}
	})
}

func TestWhatSomebodyElseDidToAnInterfaceIsPutRight(t *testing.T) {
	play(t, []string{macA}, func(b *bench) {
		b.want(1, 1, item(macA, "r1", "192.0.2.10/24"))
		before := describe(read(b.T, b.kernel))
		b.kernel.took()
		reports := b.meter.reported
		reads := b.kernel.reads
		for range 10 {
			b.kernel.happen(func() {})
		}
		b.settle()
		if b.kernel.reads != reads+1 || b.meter.reported != reports || len(b.kernel.took()) != 0 {
			b.Errorf("ten signs of nothing: read %d times, %d reports", b.kernel.reads-reads, b.meter.reported-reports)
		}
		b.kernel.happen(func() {
			b.kernel.has.Links[1].Addresses = []plan.Address{{Prefix: prefix("10.9.9.9/24")}}
			b.kernel.has.Rules = nil
		})
		b.settle()
		if after := describe(read(b.T, b.kernel)); after != before {
			b.Errorf("there is\n%s\nwant\n%s", after, before)
		}
		b.expect("stream 1 generation 1", "a r1 multinic0 READY")
	})
}
