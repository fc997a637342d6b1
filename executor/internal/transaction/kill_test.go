package transaction_test

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"go.uber.org/zap"

	"multinic.dev/executor/internal/link"
	"multinic.dev/executor/internal/plan"
	"multinic.dev/executor/internal/record"
	"multinic.dev/executor/internal/transaction"
	"multinic.dev/testbed/node"
	"multinic.dev/testbed/oracle"
	"multinic.dev/testbed/uml"
)

// victimEnv makes the test binary do one transaction in the namespace that it is started in, and kill itself in the middle of
// it: "SCENARIO STEP DIRECTORY".
const victimEnv = "MULTINIC_VICTIM"

func TestMain(m *testing.M) {
	if words := strings.Fields(os.Getenv(victimEnv)); len(words) == 3 {
		os.Exit(beVictim(words[0], words[1], words[2]))
	}
	uml.Main(m)
}

const (
	macA = "02:00:00:00:00:0a"
	macB = "02:00:00:00:00:0b"
)

// scenario is a transaction between two states of a node with two cards.
type scenario struct {
	// before and after are the rows of the two states.
	before, after []oracle.Row
	// refused makes the transaction fail, so that it is undone: the kernel refuses a change that begins so.
	refused string
}

// trunks are scenarios for a kernel that has VLANs.
func trunks() map[string]scenario {
	untagged := oracle.Row{MAC: macA, Address: "192.0.2.10", Mask: "24", Gateway: "192.0.2.1"}
	five := oracle.Row{MAC: macA, VLAN: 5, Address: "198.51.100.10", Mask: "24", Gateway: "198.51.100.1"}
	six := oracle.Row{MAC: macA, VLAN: 6, Address: "203.0.113.10", Mask: "24"}
	changedFive := five
	changedFive.Address = "198.51.100.11"
	return map[string]scenario{
		"first trunk":     {after: []oracle.Row{five, six}},
		"a changed VLAN":  {before: []oracle.Row{untagged, five}, after: []oracle.Row{untagged, changedFive}},
		"a VLAN less":     {before: []oracle.Row{untagged, five, six}, after: []oracle.Row{untagged, six}},
		"a trunk goes":    {before: []oracle.Row{untagged, five, six}},
		"an undone trunk": {before: []oracle.Row{untagged, five}, after: []oracle.Row{untagged, five, six}, refused: "rule add pref 25002 from 203.0.113.10"},
	}
}

func scenarios() map[string]scenario {
	a := oracle.Row{MAC: macA, Address: "192.0.2.10", Mask: "24", Gateway: "192.0.2.1", MTU: 1400}
	b := oracle.Row{MAC: macB, Address: "192.0.2.11", Mask: "24"}
	changedA := oracle.Row{MAC: macA, Address: "198.51.100.10", Mask: "24", Gateway: "198.51.100.1", MTU: 1300}
	swappedA, swappedB := a, b
	swappedA.Address, swappedB.Address = b.Address, a.Address
	return map[string]scenario{
		"first":   {after: []oracle.Row{a, b}},
		"change":  {before: []oracle.Row{a, b}, after: []oracle.Row{changedA, b}},
		"swap":    {before: []oracle.Row{a, b}, after: []oracle.Row{swappedA, swappedB}},
		"removal": {before: []oracle.Row{a, b}, after: []oracle.Row{b}},
		"undo":    {before: []oracle.Row{a, b}, after: []oracle.Row{changedA, b}, refused: "rule delete pref 25002 from 192.0.2.10"},
	}
}

// effects counts what is done to the kernel and to the disk, and ends all of it before one of them.
type effects struct {
	*link.Kernel
	*record.Record
	*transaction.Journal

	// last is how many effects there may be; the next one is not made, and die is called.
	last    int
	die     func()
	made    []string
	refused string
	// never is how changes begin that the kernel refuses also when they are to be undone; empty: none.
	never string
}

func (e *effects) effect(what string) {
	if len(e.made) == e.last {
		e.die()
	}
	e.made = append(e.made, what)
}

func (e *effects) Read(ctx context.Context) (plan.Kernel, error) { return e.Kernel.Read(ctx) }

func (e *effects) Apply(change plan.Change) error {
	e.effect(change.String())
	if e.refused != "" && strings.HasPrefix(change.String(), e.refused) {
		return fmt.Errorf("%s: refused by the test", change)
	}
	if e.never != "" && strings.HasPrefix(change.String(), e.never) {
		return fmt.Errorf("%s: impossible", change)
	}
	return e.Kernel.Apply(change)
}

// journal is the part of effects that is a transaction.Keeper; its Read would be the kernel's otherwise.
type journal struct{ *effects }

func (j journal) Read() (*transaction.Entry, error) { return j.Journal.Read() }

func (j journal) Begin(entry transaction.Entry) error {
	j.effect("journal begin")
	return j.Journal.Begin(entry)
}

func (j journal) End() error {
	j.effect("journal end")
	return j.Journal.End()
}

func (e *effects) Claim(key plan.Key, name string, was record.Was) error {
	e.effect("claim " + key.MAC)
	return e.Record.Claim(key, name, was)
}

func (e *effects) Prove(key plan.Key, spec plan.Spec) error {
	e.effect("prove " + key.MAC)
	return e.Record.Prove(key, spec)
}

func (e *effects) Release(mac string, vlans []int, whole bool) error {
	e.effect("release " + mac)
	return e.Record.Release(mac, vlans, whole)
}

func (e *effects) Restore(mac string, before []record.Card) error {
	e.effect("restore the record of " + mac)
	return e.Record.Restore(mac, before)
}

// open opens what an executor would open when it starts, in the namespace of the calling thread.
func open(dir string) (*effects, error) {
	kernel, err := link.Open("/")
	if err != nil {
		return nil, err
	}
	r, err := record.Open(dir)
	return &effects{Kernel: kernel, Record: r, Journal: transaction.OpenJournal(dir), last: -1}, err
}

func (e *effects) transactor() *transaction.Transactor {
	return transaction.New(transaction.Config{
		Kernel: e, Record: e, Journal: journal{e}, Files: transaction.Volatile{}, Prober: transaction.Unguarded{}, Guard: transaction.Unguarded{}, Log: zap.NewNop(),
		Machine: "m", Boot: "b",
	})
}

func itemsOf(rows []oracle.Row) []plan.Item {
	var items []plan.Item
	for _, row := range rows {
		item := plan.Item{Key: plan.Key{MAC: row.MAC, VLAN: row.VLAN}, Spec: plan.Spec{MTU: row.MTU}}
		item.Spec.Address = netip.MustParsePrefix(row.Address + "/" + row.Mask)
		if row.Gateway != "" {
			item.Spec.Gateway = netip.MustParseAddr(row.Gateway)
		}
		items = append(items, item)
	}
	return items
}

// work makes rows so, and takes away what they do not name, as a worker does.
func (e *effects) work(ctx context.Context, rows []oracle.Row) transaction.Failures {
	t := e.transactor()
	if err := t.Recover(ctx); err != nil {
		return transaction.Failures{{}: {Err: err}}
	}
	var releases []plan.Release
	for _, card := range e.Cards() {
		release := plan.Release{MAC: card.MAC, Original: &card.Was.Original}
		for _, one := range card.Interfaces {
			if !slices.ContainsFunc(rows, func(row oracle.Row) bool { return row.MAC == card.MAC && row.VLAN == one.VLAN }) {
				release.VLANs = append(release.VLANs, one.VLAN)
			}
		}
		release.Whole = !slices.ContainsFunc(rows, func(row oracle.Row) bool { return row.MAC == card.MAC })
		if release.Whole || len(release.VLANs) > 0 {
			releases = append(releases, release)
		}
	}
	if len(releases) > 0 {
		if failures := t.Release(ctx, releases); len(failures) > 0 {
			return failures
		}
	}
	return t.Make(ctx, transaction.Order{Items: itemsOf(rows)})
}

func beVictim(name, step, dir string) int {
	e, err := open(dir)
	if err == nil {
		e.last, err = strconv.Atoi(step)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	e.die = func() { _ = syscall.Kill(os.Getpid(), syscall.SIGKILL); select {} }
	e.refused = scenarios()[name].refused
	e.work(context.Background(), scenarios()[name].after)
	return 0
}

// stage is a node and the directory of its executor.
type stage struct {
	*testing.T

	node *node.Node
	dir  string
}

func newStage(t *testing.T, name string) *stage {
	t.Helper()
	s := &stage{T: t, node: node.New(t, name), dir: t.TempDir()}
	s.node.Underlay("eth0", "02:00:00:00:00:01", "192.0.2.5/24", "192.0.2.1", 100, node.NewWire(t, name+"-underlay"))
	s.node.PlugIn("eth1", macA, nil)
	s.node.PlugIn("eth2", macB, nil)
	return s
}

// life is an executor that works until it is done, or dies at the effect after so many. It says what it has done.
func (s *stage) life(rows []oracle.Row, last int, refused string) (made []string, died bool) {
	s.Helper()
	var e *effects
	err := s.node.Do(func() (err error) {
		e, err = open(s.dir)
		return err
	})
	if err != nil {
		s.Fatal(err)
	}
	e.last, e.die, e.refused = last, func() { died = true; runtime.Goexit() }, refused
	ended := make(chan transaction.Failures, 1)
	go func() {
		defer close(ended)
		ended <- e.work(s.Context(), rows)
	}()
	failures := <-ended
	e.Close()
	if !died && (len(failures) > 0) != (refused != "") {
		s.Fatalf("it ended with %v", failures)
	}
	return e.made, died
}

// texts are what `ip` and the settings say of each card, by its MAC.
func (s *stage) texts() map[string]string {
	s.Helper()
	if uml.Inside() {
		return s.ownTexts() // A process takes long to start there.
	}
	texts := map[string]string{}
	for line := range strings.SplitSeq(strings.TrimSpace(s.node.IP("-o", "link")), "\n") {
		words := strings.Fields(line)
		name, _, _ := strings.Cut(strings.TrimSuffix(words[1], ":"), "@")
		for _, mac := range []string{macA, macB} {
			if !strings.Contains(line, mac) {
				continue
			}
			text := name + " " + fmt.Sprint(strings.Contains(words[2], ",UP")) + " " + words[4] + "\n"
			for address := range strings.SplitSeq(s.node.IP("-o", "address", "show", "dev", name), "\n") {
				if !strings.Contains(address, "fe80::") && address != "" {
					text += strings.Join(strings.Fields(address)[1:], " ") + "\n"
				}
			}
			text += s.node.IP("-4", "route", "show", "table", "all", "dev", name)
			for _, setting := range plan.Settings() {
				value, err := s.setting(fmt.Sprintf(setting.Path, name))
				text += fmt.Sprintln(setting.Path, value, err)
			}
			texts[mac] += text
		}
	}
	return texts
}

// ownTexts are what the executor's own eyes see of each card, all of its rules among it.
func (s *stage) ownTexts() map[string]string {
	s.Helper()
	var e *effects
	if err := s.node.Do(func() (err error) { e, err = open(s.dir); return err }); err != nil {
		s.Fatal(err)
	}
	defer e.Close()
	kernel, err := e.Kernel.Read(s.Context())
	if err != nil {
		s.Fatal(err)
	}
	texts := map[string]string{}
	for _, mac := range []string{macA, macB} {
		former := plan.FormerOf(mac, []string{"multinic0", "multinic1"}, kernel)
		slices.SortFunc(former.Links, func(a, b plan.Link) int { return a.VLAN - b.VLAN })
		names := map[int]string{}
		for _, l := range former.Links {
			names[l.Index] = l.Name
			settings, err := e.Settings(l.Name)
			texts[mac] += fmt.Sprintln(l.Name, l.VLAN, l.Up, l.MTU, settings, err)
			for _, address := range l.Addresses {
				if address.Prefix.Addr().Is4() {
					texts[mac] += fmt.Sprintln(address, address.Broadcast, address.NoPrefixRoute)
				}
			}
		}
		var lines []string
		for _, route := range former.Routes {
			lines = append(lines, plan.AddRoute{Route: route, Name: names[route.Link]}.String())
		}
		for _, rule := range former.Rules {
			lines = append(lines, plan.AddRule{Rule: rule}.String())
		}
		slices.Sort(lines)
		texts[mac] += strings.Join(lines, "\n")
	}
	return texts
}

func (s *stage) setting(path string) (value string, err error) {
	err = s.node.Do(func() error {
		data, err := os.ReadFile("/proc/sys/net/" + path)
		value = strings.TrimSpace(string(data))
		return err
	})
	return value, err
}

// isWhole says whether each card is as it was or as it should be, and nothing else of multinic's is there, by the oracle; which
// of the two is for the card to say.
func (s *stage) isWhole(before, after []oracle.Row, texts, old, next map[string]string) error {
	var rows []oracle.Row
	expect := oracle.Expect{Names: map[string]string{}}
	for _, mac := range []string{macA, macB} {
		chosen := after
		switch texts[mac] {
		case old[mac]:
			chosen = before
		case next[mac]:
		default:
			return fmt.Errorf("%s is neither what it was nor what it should be:\n%s\nit was\n%s\nand should be\n%s", mac, texts[mac], old[mac], next[mac])
		}
		for _, row := range chosen {
			if row.MAC == mac {
				rows = append(rows, row)
				expect.Names[mac], _, _ = strings.Cut(texts[mac], " ")
			}
		}
	}
	if uml.Inside() {
		return nil // The texts have all of it, and the oracle has seen both states.
	}
	return s.judge(rows, expect)
}

func (s *stage) judge(rows []oracle.Row, expect oracle.Expect) error {
	wrong, err := oracle.Check(s.Context(), s.node, rows, expect)
	if err != nil || len(wrong) > 0 {
		return fmt.Errorf("%s, %w", strings.Join(wrong, "; "), err)
	}
	return nil
}

// reach brings the node to the state of rows, whatever it is in.
func (s *stage) reach(rows []oracle.Row) {
	s.Helper()
	s.life(rows, -1, "")
}

func (s *stage) recover(last int) bool {
	s.Helper()
	var e *effects
	if err := s.node.Do(func() (err error) { e, err = open(s.dir); return err }); err != nil {
		s.Fatal(err)
	}
	died := false
	e.last, e.die = last, func() { died = true; runtime.Goexit() }
	ended := make(chan error, 1)
	go func() {
		defer close(ended)
		ended <- e.transactor().Recover(s.Context())
	}()
	if err := <-ended; err != nil {
		s.Fatal(err)
	}
	e.Close()
	return died
}

// TestAnExecutorKilledAtAnyStepLeavesEachCardWhole kills an executor before every effect that it has on the kernel or the disk,
// then its successors in their recovery, each one effect later than the one before, until one gets through. The steps are those that are counted, not
// those of a list.
func TestAnExecutorKilledAtAnyStepLeavesEachCardWhole(t *testing.T) {
	killAtEachStep(t, scenarios())
}

// TestAnExecutorKilledAtAnyStepLeavesEachTrunkWhole runs on a kernel that has VLANs, and that does not rename links that are up.
func TestAnExecutorKilledAtAnyStepLeavesEachTrunkWhole(t *testing.T) {
	uml.Run(t, func() { killAtEachStep(t, trunks()) })
}

func killAtEachStep(t *testing.T, scenarios map[string]scenario) {
	t.Helper()
	for i, name := range slices.Sorted(maps.Keys(scenarios)) {
		sc := scenarios[name]
		t.Run(name, func(t *testing.T) {
			s := newStage(t, fmt.Sprint("node-", i))
			s.reach(sc.before)
			old := s.texts()
			made, _ := s.life(sc.after, -1, sc.refused)
			next := s.texts()
			if sc.refused == "" {
				expect := oracle.Expect{Names: map[string]string{}}
				for _, row := range sc.after {
					expect.Names[row.MAC], _, _ = strings.Cut(next[row.MAC], " ")
				}
				if err := s.judge(sc.after, expect); err != nil {
					t.Fatal(err)
				}
			}
			if undone := maps.Equal(old, next); undone != (sc.refused != "") {
				t.Fatalf("the transaction has undone itself: %v", undone)
			}
			if sc.refused == "" && !slices.ContainsFunc(made, func(step string) bool { return strings.HasPrefix(step, "journal end") }) {
				t.Fatalf("the steps are not those of a transaction: %q", made)
			}
			for last := range len(made) + 1 {
				s.reach(sc.before)
				if _, died := s.life(sc.after, last, sc.refused); died != (last < len(made)) {
					t.Fatalf("step %d of %d: died %v", last, len(made), died)
				}
				broken := s.isWhole(sc.before, sc.after, s.texts(), old, next)
				recoveries := 0
				for s.recover(recoveries + 1) {
					if recoveries++; recoveries > 100 {
						t.Fatal("the recovery never gets through")
					}
				}
				if err := s.isWhole(sc.before, sc.after, s.texts(), old, next); err != nil {
					t.Fatalf("killed before step %d (%s), and %d times in its recovery:\n%v", last+1, append(made, "the end")[last], recoveries, err)
				}
				t.Logf("killed before %q: broken %v, %d recoveries were killed", append(made, "the end")[last], broken != nil, recoveries)
			}
		})
	}
}

// TestAKilledProcessLeavesEachCardWhole is the same with a process of its own and SIGKILL, without kills in the recovery; and the
// control: without the journal, cards are left in the middle.
func TestAKilledProcessLeavesEachCardWhole(t *testing.T) {
	sc := scenarios()["change"]
	s := newStage(t, "node")
	s.reach(sc.before)
	old := s.texts()
	made, _ := s.life(sc.after, -1, "")
	next := s.texts()
	broken := 0
	for last := range made {
		s.reach(sc.before)
		victim := s.node.Command(t.Context(), os.Args[0])
		victim.Env = append(os.Environ(), fmt.Sprintf("%s=change %d %s", victimEnv, last, s.dir))
		out, err := victim.CombinedOutput()
		if fmt.Sprint(err) != "signal: killed" {
			t.Fatalf("the victim ended with %v: %s", err, out)
		}
		if s.isWhole(sc.before, sc.after, s.texts(), old, next) != nil {
			broken++
			kept, err := os.ReadFile(filepath.Join(s.dir, "journal.json"))
			if err != nil {
				t.Fatal(err)
			}
			// The control.
			if err := os.Remove(filepath.Join(s.dir, "journal.json")); err != nil {
				t.Fatal(err)
			}
			s.recover(-1)
			if s.isWhole(sc.before, sc.after, s.texts(), old, next) == nil {
				t.Fatal("without its journal, the recovery has put the card right all the same")
			}
			if err := os.WriteFile(filepath.Join(s.dir, "journal.json"), kept, 0o600); err != nil { //nolint:gosec // the test's own
				t.Fatal(err)
			}
		}
		s.recover(-1)
		if err := s.isWhole(sc.before, sc.after, s.texts(), old, next); err != nil {
			t.Fatalf("killed before step %d (%s):\n%v", last+1, made[last], err)
		}
	}
	if broken < len(made)/2 {
		t.Errorf("of %d kills only %d left a card in the middle", len(made), broken)
	}
}
