package plan_test

import (
	"fmt"
	"maps"
	"testing"

	"multinic.dev/executor/internal/plan"
)

func TestNamesAreGivenInTheOrderOfMACs(t *testing.T) {
	for _, test := range []struct {
		name   string
		links  []string
		claims plan.Claims
		items  []string
		want   string
	}{
		{"new", []string{"eth1", "eth2", "eth3"}, nil, []string{mac2, mac0, mac1}, "[multinic2 multinic0 multinic1]"},
		{"claimed", []string{"eth1", "eth2", "eth3"}, plan.Claims{mac1: nic("multinic0"), mac2: nic("multinic7")}, []string{mac0, mac1, mac2}, "[multinic1 multinic0 multinic7]"},
		{"claimed by one that is not among the items", []string{"eth1", "eth2"}, plan.Claims{mac2: nic("multinic0")}, []string{mac0, mac1}, "[multinic1 multinic2]"},
		{"absent ones take none", []string{"eth1", "eth2"}, nil, []string{mac2, mac1}, "[ multinic0]"},
		{"borne by a NIC that is not wanted", []string{"multinic0", "eth2"}, nil, []string{mac1}, "[multinic1]"},
		{"borne by itself", []string{"eth1", "multinic5"}, nil, []string{mac0, mac1}, "[multinic0 multinic5]"},
		{"borne by itself and claimed by another", []string{"eth1", "multinic5"}, plan.Claims{mac0: nic("multinic5")}, []string{mac0, mac1}, "[multinic5 multinic0]"},
		{"not a name of ours", []string{"multinic10", "multinic", "multinicx"}, nil, []string{mac0, mac1, mac2}, "[multinic0 multinic1 multinic2]"},
	} {
		t.Run(test.name, func(t *testing.T) {
			var items []plan.Item
			for _, mac := range test.items {
				items = append(items, item(mac, "", "", 0))
			}
			var names []string
			for _, decision := range plan.Decide(items, test.claims, node(test.links...).read()).Decisions {
				names = append(names, decision.Name)
			}
			if got := fmt.Sprint(names); got != test.want {
				t.Errorf("names %s, want %s", got, test.want)
			}
		})
	}
}

func TestAnEleventhNICGetsNoName(t *testing.T) {
	claims, m := plan.Claims{}, node("eth1", "eth2")
	for n := range 9 {
		m.kernel.Links = append(m.kernel.Links, plan.Link{Index: 100 + n, Name: fmt.Sprint("multinic", n), MAC: fmt.Sprintf("02:00:00:00:01:%02x", n)})
		claims[fmt.Sprintf("02:00:00:00:01:%02x", n)] = nic(fmt.Sprint("multinic", n))
	}
	p := plan.Decide([]plan.Item{item(mac1, "", "", 0), item(mac0, "", "", 0)}, claims, m.read())
	if tenth := p.Decisions[1]; tenth.Obstacle != plan.None || tenth.Name != "multinic9" {
		t.Errorf("the tenth: %+v", tenth)
	}
	const message = "all of multinic0 to multinic9 are taken: delete the row of a NIC that is no longer needed"
	if last := p.Decisions[0]; last.Obstacle != plan.NoFreeName || last.Name != "" || last.Message != message || len(last.Changes) != 0 {
		t.Errorf("the eleventh: %+v", last)
	}
}

func TestNICsThatBearEachOthersNamesGetTheirOwn(t *testing.T) {
	m := node("multinic1", "multinic0")
	items := []plan.Item{item(mac0, "", "", 0), item(mac1, "", "", 0)}
	claims := plan.Claims{mac0: nic("multinic0"), mac1: nic("multinic1")}
	p := plan.Decide(items, claims, m.read())
	var renames []plan.Change
	for _, change := range changesOf(p) {
		if rename, ok := change.(plan.Rename); ok {
			renames = append(renames, rename)
		}
		if err := m.apply(change); err != nil {
			t.Fatal(err)
		}
	}
	const want = "link set multinic0 name multi-4\nlink set multinic1 name multinic0\nlink set multi-4 name multinic1\n"
	if got := text(renames); got != want {
		t.Errorf("renames\n%s\nwant\n%s", got, want)
	}
	golden(t, plan.Decide(items, claims, m.read()), "")
}

func TestANameThatAnotherLinkKeepsIsWaitedFor(t *testing.T) {
	claims := plan.Claims{mac0: nic("multinic0"), mac1: nic("multinic1")}
	for _, test := range []struct {
		name  string
		links []string
		items []plan.Item
		want  string
	}{
		{"a foreign one", []string{"eth1", "eth2", "multinic0"}, []plan.Item{item(mac0, "", "", 0)},
			mac0 + ": multinic0 is the name of " + mac0 + " on disk, and another link (index 5, MAC \"" + mac2 + "\") bears it: rename that link\n"},
		{"one of ours that is not among the items", []string{"eth1", "multinic0"}, []plan.Item{item(mac0, "", "", 0)},
			mac0 + ": multinic0 is the name of " + mac0 + " on disk, and another link (index 4, MAC \"" + mac1 + "\") bears it: rename that link\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := plan.Decide(test.items, maps.Clone(claims), node(test.links...).read())
			golden(t, p, test.want)
			if got := p.Decisions[0]; got.Obstacle != plan.NameInUse || got.Name != "multinic0" {
				t.Errorf("decision %+v", got)
			}
		})
	}
}

func TestANameOnDiskThatIsNoneOfOursIsRefused(t *testing.T) {
	p := plan.Decide([]plan.Item{item(mac0, "", "", 0)}, plan.Claims{mac0: nic("eth7")}, node("eth1").read())
	golden(t, p, mac0+": the name of "+mac0+" on disk is \"eth7\", which is none of multinic0 to multinic9: correct the state file\n")
}
