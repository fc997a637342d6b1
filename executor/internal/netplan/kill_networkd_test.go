package netplan

import (
	"reflect"
	"testing"
	"time"

	"multinic.dev/executor/internal/networkd"
	"multinic.dev/executor/internal/plan"
	"multinic.dev/testbed/container"
)

// TestAnExecutorKilledWhileNetworkdIsToldLeavesEachNICWhole is TestAnExecutorKilledAtAnyStepLeavesEachNICWhole on booted hosts, whose
// networkd works on by itself while the executor is dead.
func TestAnExecutorKilledWhileNetworkdIsToldLeavesEachNICWhole(t *testing.T) {
	before := []plan.Item{
		{Key: plan.Key{MAC: macA}, Spec: spec("10.1.0.10/24", "10.1.0.1", 1500)}, {Key: plan.Key{MAC: macB}, Spec: spec("10.2.0.10/24", "", 0)},
	}
	after := []plan.Item{
		{Key: plan.Key{MAC: macA}, Spec: spec("10.1.0.11/24", "10.1.0.2", 1400)}, {Key: plan.Key{MAC: macB}, Spec: spec("10.2.0.11/24", "10.2.0.1", 0)},
	}
	onBoth(t, func(t *testing.T, disk *container.Container, _ *Host) {
		t.Helper()
		disk.Write("/etc/systemd/networkd.conf.d/foreign.conf", 0o644,
			"[Network]\nManageForeignRoutes=no\nManageForeignRoutingPolicyRules=no\nManageForeignNextHops=no\n")
		disk.PlugIn("eth1", macA, nil)
		disk.PlugIn("eth2", macB, nil)
		disk.Boot()
		h, err := Open(disk.Live(), disk.Path("/var/lib/multinic/backups"))
		must(t, err)
		s := &site{disk: disk, host: h, networkd: networkd.Open(disk.Live()), dir: t.TempDir()}
		// reached is what there is once networkd has done what it was told.
		reached := func(want ...map[string]plan.Former) map[string]plan.Former {
			deadline := time.Now().Add(10 * time.Second)
			for {
				is := unmarked(cards(t, disk, h))
				whole := len(want) > 0
				for _, mac := range []string{macA, macB} {
					isOne := false
					for _, one := range want {
						isOne = isOne || reflect.DeepEqual(is[mac], one[mac])
					}
					whole = whole && isOne
				}
				if whole || time.Now().After(deadline) || len(want) == 0 {
					return is
				}
				time.Sleep(20 * time.Millisecond)
			}
		}
		s.life(t, -1, true, before)
		disk.Configured("multinic0", "multinic1")
		old, oldBoot := reached(), nextBoot(t, disk, h)
		made := s.life(t, -1, true, after)
		next, nextOne := reached(), nextBoot(t, disk, h)
		if reflect.DeepEqual(old, next) || !s.networkd.IsTold(h.mustRead(t)["multinic0"]) {
			t.Fatalf("nothing has changed, or not by networkd: %q", made)
		}
		for last := range made {
			s.life(t, -1, true, before)
			s.life(t, last, true, after)
			boot := nextBoot(t, disk, h)
			for _, nic := range []string{"multinic0", "multinic1"} {
				if got := booted(boot, nic); got != booted(oldBoot, nic) && got != booted(nextOne, nic) {
					t.Errorf("the power cut before %q: the next boot makes of %s\n%s", made[last], nic, got)
				}
			}
			// The successor dies before its first effect, and before its second; then it gets through.
			s.life(t, 0, false, nil)
			s.life(t, 1, false, nil)
			s.life(t, -1, false, nil)
			for nic, config := range h.mustRead(t) {
				if s.networkd.Knows(nic) && !s.networkd.IsTold(config) {
					t.Errorf("killed before %q, networkd was told something else of %s than what the next boot makes of it", made[last], nic)
				}
			}
			is := reached(old, next)
			for _, mac := range []string{macA, macB} {
				if !reflect.DeepEqual(is[mac], old[mac]) && !reflect.DeepEqual(is[mac], next[mac]) {
					t.Errorf("killed before %q, %s is\n%+v\nwhich is neither\n%+v\nnor\n%+v", made[last], mac, is[mac], old[mac], next[mac])
				}
			}
		}
	})
}

// unmarked are cards without the marks of who has made their rules: networkd and the executor have their own.
func unmarked(all map[string]plan.Former) map[string]plan.Former {
	for _, former := range all {
		for i := range former.Rules {
			former.Rules[i].Protocol = 0
		}
	}

	return all
}

func (h *Host) mustRead(t *testing.T) map[string]plan.Config {
	t.Helper()
	read, err := h.Read()
	must(t, err)

	return read
}
