package record_test

import (
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"multinic.dev/executor/internal/plan"
	"multinic.dev/executor/internal/record"
)

const (
	macA = "02:00:00:00:00:0a"
	macB = "02:00:00:00:00:0b"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func open(t *testing.T, dir string) *record.Record {
	t.Helper()
	r, err := record.Open(dir)
	must(t, err)
	return r
}

func text(t *testing.T, dir string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, "interfaces.json"))
	must(t, err)
	return string(data)
}

func TestWhatWasClaimedAndProvedIsThereAfterARestart(t *testing.T) {
	dir := t.TempDir()
	r := open(t, dir)
	must(t, r.Claim(plan.Key{MAC: macB}, "multinic1", was()))
	must(t, r.Claim(plan.Key{MAC: macA}, "multinic0", was()))
	must(t, r.Prove(plan.Key{MAC: macA}, plan.Spec{
		Address: netip.MustParsePrefix("192.0.2.10/24"), Gateway: netip.MustParseAddr("192.0.2.1"), MTU: 1400,
	}))
	want := `{
  "version": 2,
  "cards": [
    {
      "mac": "02:00:00:00:00:0a",
      "name": "multinic0",
      "was": {
        "name": "eth1",
        "up": false,
        "mtu": 1500,
        "link": 3,
        "boot": "b"
      },
      "interfaces": [
        {
          "vlan": 0,
          "proved": {
            "address": "192.0.2.10/24",
            "gateway": "192.0.2.1",
            "mtu": 1400
          }
        }
      ]
    },
    {
      "mac": "02:00:00:00:00:0b",
      "name": "multinic1",
      "was": {
        "name": "eth1",
        "up": false,
        "mtu": 1500,
        "link": 3,
        "boot": "b"
      },
      "interfaces": [
        {
          "vlan": 0
        }
      ]
    }
  ]
}
`
	if got := text(t, dir); got != want {
		t.Errorf("the file is\n%s\nwant\n%s", got, want)
	}
	if again := open(t, dir).Cards(); !reflect.DeepEqual(again, r.Cards()) {
		t.Errorf("read again: %+v", again)
	}
	want2 := plan.Claims{macA: {Name: "multinic0", VLANs: []int{0}}, macB: {Name: "multinic1", VLANs: []int{0}}}
	if got := open(t, dir).Claims(); !reflect.DeepEqual(got, want2) {
		t.Errorf("claims %+v", got)
	}
	info, err := os.Stat(filepath.Join(dir, "interfaces.json"))
	must(t, err)
	if info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v", info.Mode())
	}
}

func TestWhatIsKnownAlreadyIsNotWrittenAgain(t *testing.T) {
	dir := t.TempDir()
	r := open(t, dir)
	must(t, r.Claim(plan.Key{MAC: macA}, "multinic0", was()))
	must(t, r.Prove(plan.Key{MAC: macA}, plan.Spec{MTU: 1400}))
	must(t, os.Remove(filepath.Join(dir, "interfaces.json")))
	must(t, r.Claim(plan.Key{MAC: macA}, "multinic0", was()))
	must(t, r.Prove(plan.Key{MAC: macA}, plan.Spec{MTU: 1400}))
	if _, err := os.Stat(filepath.Join(dir, "interfaces.json")); !os.IsNotExist(err) {
		t.Errorf("the file was written: %v", err)
	}
	must(t, r.Prove(plan.Key{MAC: macA}, plan.Spec{MTU: 1300})) // And it is written when there is something new.
	if got := text(t, dir); !strings.Contains(got, "1300") {
		t.Errorf("the file is %s", got)
	}
}

func TestNamesAreNeverExchanged(t *testing.T) {
	r := open(t, t.TempDir())
	must(t, r.Claim(plan.Key{MAC: macA}, "multinic0", was()))
	for _, claim := range []struct{ mac, name, want string }{
		{macA, "multinic1", "claim multinic1 for " + macA + ": it is multinic0 already, and names are never exchanged"},
		{macB, "", `a card with MAC "` + macB + `" and name ""`},
	} {
		if err := r.Claim(plan.Key{MAC: claim.mac}, claim.name, was()); err == nil || !strings.Contains(err.Error(), claim.want) {
			t.Errorf("claim %q for %s: error %v, want %q in it", claim.name, claim.mac, err, claim.want)
		}
	}
	if err := r.Prove(plan.Key{MAC: macA, VLAN: 5}, plan.Spec{}); err == nil || !strings.Contains(err.Error(), "never claimed") {
		t.Errorf("prove an interface that was never claimed: %v", err)
	}
	if got := r.Cards(); len(got) != 1 {
		t.Errorf("what was refused is in the record: %+v", got)
	}
}

func TestANameIsTakenOverAndGivenBack(t *testing.T) {
	r := open(t, t.TempDir())
	must(t, r.Claim(plan.Key{MAC: macA, VLAN: 5}, "multinic0", was()))
	before := r.Cards()
	must(t, r.Claim(plan.Key{MAC: macB}, "multinic0", was()))
	if got := r.Claims(); len(got) != 1 || got[macB].Name != "multinic0" {
		t.Errorf("after the name was taken over: %+v", got)
	}
	must(t, r.Restore(macB, before))
	if got := r.Cards(); !reflect.DeepEqual(got, before) {
		t.Errorf("after it was given back: %+v", got)
	}
}

func TestACardThatIsPluggedInAgainIsAnother(t *testing.T) {
	r := open(t, t.TempDir())
	must(t, r.Claim(plan.Key{MAC: macA}, "multinic0", was()))
	same := was()
	same.Name = "by hand"
	must(t, r.Claim(plan.Key{MAC: macA}, "multinic0", same))
	if got := r.Cards()[0].Was.Name; got != "eth1" {
		t.Errorf("the same link was %q", got)
	}
	same.Link = 4
	must(t, r.Claim(plan.Key{MAC: macA}, "multinic0", same))
	if got := r.Cards()[0].Was.Name; got != "by hand" {
		t.Errorf("the new link was %q", got)
	}
}

func TestACardIsForgottenAsAWhole(t *testing.T) {
	r := open(t, t.TempDir())
	must(t, r.Claim(plan.Key{MAC: macA}, "multinic0", was()))
	must(t, r.Claim(plan.Key{MAC: macA, VLAN: 5}, "multinic0", was()))
	must(t, r.Release(macA, []int{0}, false))
	if got := r.Claims()[macA].VLANs; !slices.Equal(got, []int{5}) {
		t.Errorf("left is %v", got)
	}
	must(t, r.Release(macA, []int{5}, false))
	if got := r.Cards(); len(got) != 1 || got[0].Was == nil || len(got[0].Interfaces) != 0 {
		t.Errorf("left is %+v", got)
	}
	must(t, r.Release(macA, nil, true))
	if got := r.Cards(); len(got) != 0 {
		t.Errorf("left is %+v", got)
	}
	must(t, r.Release(macA, []int{0, 5}, true))
}

// was is what a card was.
func was() record.Was {
	return record.Was{Original: plan.Original{Name: "eth1", MTU: 1500}, Link: 3, Boot: "b"}
}

func TestAFileThatCannotBeUnderstoodIsNamedAndKept(t *testing.T) {
	for _, test := range []struct{ name, file, want string }{
		{"garbage", "\x00\x01", "is damaged"},
		{"cut off", `{"version": 2, "cards": [{"mac": "02:0`, "is damaged"},
		{"empty", "", "is damaged"},
		{"newer", `{"version": 3}`, "has format 3 and this executor knows only 2"},
		{"shared name", `{"version": 2, "cards": [{"mac": "a", "name": "x", "interfaces": [{"vlan": 0}]}, {"mac": "b", "name": "x", "interfaces": [{"vlan": 0}]}]}`, "x is the name of both a and b"},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "interfaces.json")
			must(t, os.WriteFile(path, []byte(test.file), 0o600))
			_, err := record.Open(dir)
			if err == nil || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), path) {
				t.Errorf("error %v, want %q and the path in it", err, test.want)
			}
			if got := text(t, dir); got != test.file {
				t.Errorf("the file has become %q", got)
			}
		})
	}
}

func TestAFailedWriteChangesNothing(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	must(t, os.Mkdir(dir, 0o700))
	r := open(t, dir)
	must(t, r.Claim(plan.Key{MAC: macA}, "multinic0", was()))
	must(t, os.Rename(dir, dir+"-away"))
	if err := r.Claim(plan.Key{MAC: macB}, "multinic1", was()); err == nil || !strings.Contains(err.Error(), dir) {
		t.Errorf("error %v", err)
	}
	if got := r.Cards(); len(got) != 1 || got[0].MAC != macA {
		t.Errorf("the record has become %+v", got)
	}
	must(t, os.Rename(dir+"-away", dir))
	must(t, r.Claim(plan.Key{MAC: macB}, "multinic1", was()))
}
