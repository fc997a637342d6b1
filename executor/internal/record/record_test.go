package record_test

import (
	"net/netip"
	"os"
	"path/filepath"
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
	must(t, r.Claim(macB, "multinic1"))
	must(t, r.Claim(macA, "multinic0"))
	must(t, r.Prove(macA, plan.Spec{
		Address: netip.MustParsePrefix("192.0.2.10/24"), Gateway: netip.MustParseAddr("192.0.2.1"), MTU: 1400,
	}))
	want := `{
  "version": 1,
  "interfaces": [
    {
      "mac": "02:00:00:00:00:0a",
      "name": "multinic0",
      "proved": {
        "address": "192.0.2.10/24",
        "gateway": "192.0.2.1",
        "mtu": 1400
      }
    },
    {
      "mac": "02:00:00:00:00:0b",
      "name": "multinic1"
    }
  ]
}
`
	if got := text(t, dir); got != want {
		t.Errorf("the file is\n%s\nwant\n%s", got, want)
	}
	again := open(t, dir).Interfaces()
	if len(again) != 2 || again[0].Name != "multinic0" || *again[0].Proved != *r.Interfaces()[0].Proved || again[1].Proved != nil {
		t.Errorf("read again: %+v", again)
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
	must(t, r.Claim(macA, "multinic0"))
	must(t, r.Prove(macA, plan.Spec{MTU: 1400}))
	must(t, os.Remove(filepath.Join(dir, "interfaces.json")))
	must(t, r.Claim(macA, "multinic0"))
	must(t, r.Prove(macA, plan.Spec{MTU: 1400}))
	if _, err := os.Stat(filepath.Join(dir, "interfaces.json")); !os.IsNotExist(err) {
		t.Errorf("the file was written: %v", err)
	}
	must(t, r.Prove(macA, plan.Spec{MTU: 1300})) // And it is written when there is something new.
	if got := text(t, dir); !strings.Contains(got, "1300") {
		t.Errorf("the file is %s", got)
	}
}

func TestNamesAreNeverSharedOrExchanged(t *testing.T) {
	r := open(t, t.TempDir())
	must(t, r.Claim(macA, "multinic0"))
	for _, claim := range []struct{ mac, name, want string }{
		{macB, "multinic0", "multinic0 is the name of both " + macA + " and " + macB},
		{macA, "multinic1", macA + " stands in it twice"},
		{macB, "", `an interface with MAC "` + macB + `" and name ""`},
	} {
		if err := r.Claim(claim.mac, claim.name); err == nil || !strings.Contains(err.Error(), claim.want) {
			t.Errorf("claim %q for %s: error %v, want %q in it", claim.name, claim.mac, err, claim.want)
		}
	}
	if err := r.Prove(macB, plan.Spec{}); err == nil || !strings.Contains(err.Error(), "never claimed") {
		t.Errorf("prove a card that was never claimed: %v", err)
	}
	if got := r.Interfaces(); len(got) != 1 {
		t.Errorf("what was refused is in the record: %+v", got)
	}
}

func TestAFileThatCannotBeUnderstoodIsNamedAndKept(t *testing.T) {
	for _, test := range []struct{ name, file, want string }{
		{"garbage", "\x00\x01", "is damaged"},
		{"cut off", `{"version": 1, "interfaces": [{"mac": "02:0`, "is damaged"},
		{"empty", "", "is damaged"},
		{"newer", `{"version": 2}`, "has format 2 and this executor knows only 1"},
		{"shared name", `{"version": 1, "interfaces": [{"mac": "a", "name": "x"}, {"mac": "b", "name": "x"}]}`, "x is the name of both a and b"},
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
	must(t, r.Claim(macA, "multinic0"))
	must(t, os.Rename(dir, dir+"-away"))
	if err := r.Claim(macB, "multinic1"); err == nil || !strings.Contains(err.Error(), dir) {
		t.Errorf("error %v", err)
	}
	if got := r.Interfaces(); len(got) != 1 || got[0].MAC != macA {
		t.Errorf("the record has become %+v", got)
	}
	must(t, os.Rename(dir+"-away", dir))
	must(t, r.Claim(macB, "multinic1"))
}
