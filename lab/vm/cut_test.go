package vm_test

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"multinic.dev/lab/fleet"
	"multinic.dev/testbed/oracle"
	"multinic.dev/testbed/vm"
)

// phase is a part of what an executor does, in which each NIC goes from one configuration to another.
type phase struct {
	name string
	// before and after are the rows of each NIC.
	before, after [2][]fleet.Row
}

// rows are those of all NICs.
func rows(nics [2][]fleet.Row) []fleet.Row { return slices.Concat(nics[:]...) }

// cut is a state of the disk that a power cut could leave.
type cut struct {
	phase

	number int // among the distinct ones
	// files are all of the state, and read is what of it the next boot reads.
	files map[string]string
	read  string
	fork  *vm.VM
}

// cuts are all the states of a disk, as they come.
type cuts struct {
	t *testing.T

	mu      sync.Mutex // guards what follows
	current phase
	steps   int
	whole   map[string]bool
	all     []cut
	// told is told of each distinct state, while the guest waits; nil: nobody is.
	told func(c cut)
}

func (c *cuts) see(d *vm.Durable) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.current.name == "" {
		return
	}
	c.steps++
	files, err := d.Files("/etc", "/var/lib/multinic")
	if err != nil {
		c.t.Error(err)
		return
	}
	var text strings.Builder
	for _, name := range slices.Sorted(maps.Keys(files)) {
		fmt.Fprintf(&text, "%s %q\n", name, files[name])
	}
	key := c.current.name + text.String()
	if c.whole[key] {
		return
	}
	c.whole[key] = true
	fork, err := d.Fork(nodeName)
	if err != nil {
		c.t.Error(err)
		return
	}
	is := cut{phase: c.current, number: len(c.all), files: files, read: bootReads(files), fork: fork}
	c.all = append(c.all, is)
	if c.told != nil {
		c.told(is)
	}
}

// enter begins a phase, or, without a name, what is not looked at.
func (c *cuts) enter(p phase, told func(c cut)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.current, c.told = p, told
}

// bootReads is what of a disk's files a boot reads without an executor: all of /etc, but for the folders of NICs to which no link
// leads. Links stand for what they lead to.
func bootReads(files map[string]string) string {
	var text strings.Builder
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if !strings.HasPrefix(name, "/etc/") || strings.HasPrefix(name, "/etc/multinic") {
			continue
		}
		target, isLink := strings.CutPrefix(files[name], "Lrwxrwxrwx ")
		if !isLink || !strings.Contains(target, "multinic") {
			fmt.Fprintf(&text, "%s %q\n", name, files[name])
			continue
		}
		to := follow(files, target, name)
		fmt.Fprintf(&text, "%s -> %q\n", name, files[to])
		for _, below := range slices.Sorted(maps.Keys(files)) {
			if rest, is := strings.CutPrefix(below, to+"/"); is {
				fmt.Fprintf(&text, "%s/%s -> %q\n", name, rest, files[below])
			}
		}
	}
	return text.String()
}

// follow is where a link leads to, through the link that names a NIC's folder.
func follow(files map[string]string, target, from string) string {
	if !path.IsAbs(target) {
		target = path.Join(path.Dir(from), target)
	}
	for dir := target; dir != "/"; dir = path.Dir(dir) {
		if next, is := strings.CutPrefix(files[dir], "Lrwxrwxrwx "); is {
			return follow(files, path.Join(next, strings.TrimPrefix(target, dir)), dir)
		}
	}
	return target
}

// TestAPowerCutAtAnyInstantLeavesEachNICWhole cuts the power at each instant of a change of two cards, of a removal, and of the recovery
// of an executor that was killed in the middle. What is durable changes by flushes alone, so each state that the disk is left in by one is a
// cut, and none is forgotten. Of the states of /etc that a boot can tell from each other each is booted once, without the executor: the
// one right after the change of what a boot reads, and for the first of them the last one before. Each NIC must be whole then, the old or
// the new one, and an executor that is started makes it the new one. The control is a change that is made by hand without syncs.
//
// So that it takes some minutes only, where networkd is told of changes it is the change of two cards alone, and booted are the second and
// the last of the states; with MULTINIC_TEST_VM=all it is all of this everywhere, and booted are all.
func TestAPowerCutAtAnyInstantLeavesEachNICWhole(t *testing.T) {
	t.Parallel()
	plain := func(address, gateway string) fleet.Row {
		return fleet.Row{Node: nodeName, MAC: mac(0), Address: address, Mask: "24", Gateway: gateway}
	}
	tagged := func(vlan int, address string) fleet.Row {
		return fleet.Row{Node: nodeName, MAC: mac(1), Address: address, Mask: "24", VLAN: vlan}
	}
	before := [2][]fleet.Row{{plain("10.1.0.10", "10.1.0.1")}, {tagged(100, "10.2.0.10")}}
	after := [2][]fleet.Row{{plain("10.1.0.11", "")}, {tagged(100, "10.2.0.11"), tagged(200, "10.3.0.11")}}
	removed := [2][]fleet.Row{after[0], nil}
	change := phase{"the change", before, after}

	onBothByBoth(t, setup{cards: 2}, func(t *testing.T, h *host) {
		t.Helper()
		p := newPlay(h.stage, before)
		p.make(change)
		h.wantActivated("the change")
		if h.byManager && !all() {
			p.sampled = true
			p.bootAll()

			return
		}
		p.make(phase{"the removal", after, removed})
		p.cuts.enter(phase{}, nil)
		p.reach(before)
		p.killWithin(phase{"the change that is cut short", before, after})
		p.cuts.enter(phase{"the recovery", before, after}, nil)
		p.node.StartExecutor()
		p.reach(after)
		if log := p.node.Executor.Log(); !strings.Contains(log, `"rolled back"`) {
			t.Errorf("nothing was put back:\n%s", log)
		}
		h.wantActivated("the recovery")
		unsynced := after
		unsynced[0] = []fleet.Row{plain("10.1.0.12", "")}
		torn := p.withoutSyncs(phase{"a change without syncs", after, unsynced})
		p.sampled = !all()
		p.bootAll()
		p.mustBeTorn(torn)
	})
}

// play is a stage of which each state of the disk is kept.
type play struct {
	*stage

	// sampled is whether only the second and the last of the states that a boot can tell from each other are booted.
	sampled bool
	cuts    *cuts
	end     func()
}

// newPlay has an executor make rows first.
func newPlay(s *stage, first [2][]fleet.Row) *play {
	s.Helper()
	p := &play{stage: s, cuts: &cuts{t: s.T, whole: map[string]bool{}}}
	s.fleet.Insert(rows(first)...)
	s.node.StartExecutor()
	s.fleet.AwaitAll()
	s.node.MustRun("sync")
	p.end = s.node.Watch(p.cuts.see)

	return p
}

// reach has the executor make the table's rows others, until all of it is durable.
func (p *play) reach(nics [2][]fleet.Row) {
	p.Helper()
	p.fleet.Rewrite(rows(nics)...)
	p.reached(p.node, nics)
	p.node.MustRun("sync")
}

// reached waits until a node is what rows say.
func (p *play) reached(node *fleet.Guest, nics [2][]fleet.Row) {
	p.Helper()
	p.fleet.AwaitAll()
	wrong := ""
	p.fleet.Until(func() bool {
		_, err := node.Run("test", "!", "-e", "/var/lib/multinic/journal.json")
		wrong = node.Judge(oracle.Expect{ByManager: true}, rows(nics)...)

		return wrong == "" && err == 0
	}, func() string { return "the kernel:\n" + wrong })
}

// make goes through a phase.
func (p *play) make(is phase) {
	p.Helper()
	p.cuts.enter(is, nil)
	p.node.MustRun("sh", "-c", "date >/root/date; sync") // What there is now is a state, too.
	p.reach(is.after)
}

// killWithin has the executor killed in the middle of a phase: as soon as all that is persisted is the new one, and nothing is proved.
func (p *play) killWithin(is phase) {
	p.Helper()
	executor, killed := p.node.Executor, false
	p.cuts.enter(is, func(c cut) {
		if !killed && strings.Contains(c.read, is.after[1][0].Address) {
			killed = true
			if err := executor.Signal(syscall.SIGKILL); err != nil {
				p.Error(err)
			}
		}
	})
	p.fleet.Rewrite(rows(is.after)...)
	if _, err := executor.Wait(patience); err != nil {
		p.Fatal(err)
	}
	p.node.MustRun("test", "-e", "/var/lib/multinic/journal.json")
}

// bootAll cuts the power, and boots the states that a boot can tell from each other.
func (p *play) bootAll() {
	p.Helper()
	p.end()
	p.cuts.mu.Lock()
	defer p.cuts.mu.Unlock()
	if err := p.node.Executor.Kill(); err != nil {
		p.Fatal(err)
	}
	p.node.Kill()
	var chosen []cut
	for _, c := range p.cuts.all {
		i := slices.IndexFunc(chosen, func(other cut) bool { return other.read == c.read })
		switch {
		case i < 0:
			chosen = append(chosen, c)
		case i == 0 && len(chosen) == 1:
			chosen[0] = c
		}
	}
	p.Logf("%d steps, %d distinct states of /etc and /var/lib/multinic, %d of what a boot reads", p.cuts.steps, len(p.cuts.all), len(chosen))
	for _, c := range chosen {
		p.Logf("cut %d, in %s, differs from the one before in %s", c.number, c.name, differs(p.cuts.all[max(0, c.number-1)].read, c.read))
	}
	mixed, is := false, [2]bool{}
	for i, c := range chosen {
		if p.sampled && i != 1 && i != len(chosen)-1 {
			continue
		}
		is = p.boot(c, is)
		mixed = mixed || is[0] != is[1]
		for _, same := range p.cuts.all {
			if same.read == c.read && !same.allows(c.booted(is)) {
				p.Errorf("cut %d, in %s, boots into %v", same.number, same.name, c.booted(is))
			}
		}
	}
	if !mixed || len(chosen) < 4 {
		p.Errorf("the power was never cut between the two cards, in %d states", len(chosen))
	}
}

// differs has the paths of the lines that only one of two texts has.
func differs(before, after string) string {
	var all []string
	for _, of := range [][2]string{{before, after}, {after, before}} {
		for line := range strings.Lines(of[0]) {
			if name, _, _ := strings.Cut(line, " "); !strings.Contains(of[1], line) && !slices.Contains(all, name) {
				all = append(all, name)
			}
		}
	}

	return strings.Join(all, " ")
}

// booted are the rows that each NIC was booted into.
func (c cut) booted(isNew [2]bool) (is [2][]fleet.Row) {
	for nic := range is {
		is[nic] = c.before[nic]
		if isNew[nic] {
			is[nic] = c.after[nic]
		}
	}

	return is
}

// allows says whether each NIC is what it was before the phase, or after it.
func (c cut) allows(is [2][]fleet.Row) bool {
	for nic := range is {
		if !slices.Equal(is[nic], c.before[nic]) && !slices.Equal(is[nic], c.after[nic]) {
			return false
		}
	}

	return true
}

// boot boots a state of the disk, first without the executor, and says which NICs are the new ones; likely
// it is those.
func (p *play) boot(c cut, likely [2]bool) (isNew [2]bool) {
	p.Helper()
	began := time.Now()
	node, isNew, wrong := p.bootAlone(c, likely)
	if wrong != "" {
		p.Errorf("cut %d, in %s: a NIC is neither the old one nor the new one; of the old ones and the new ones alike differ\n%s\na boot reads\n%s",
			c.number, c.name, wrong, c.read)
	}
	if wrong == "" && isNew[0] != isNew[1] && len(c.after[1]) > 1 { // A VLAN less, or an address that is another's.
		half := slices.Concat(c.booted(isNew)[0], c.after[1][:1])
		if node.Judge(oracle.Expect{ByManager: true}, half...) == "" {
			p.Error("the oracle does not see that a NIC is half of each")
		}
	}
	booted := time.Since(began)
	p.fleet.Rewrite(rows(c.after)...)
	node.StartExecutor()
	p.reached(node, c.after)
	if err := node.Executor.Kill(); err != nil {
		p.Fatal(err)
	}
	node.Kill()
	p.Logf("cut %d, in %s: booted after %v with the cards new: %v; the executor was done %v later", c.number, c.name, booted, isNew, time.Since(began)-booted)

	return isNew
}

// bootAlone boots a state of the disk without the executor, and says which NICs are the new ones; likely it is those. If one of them is
// neither, wrong is what differs.
func (p *play) bootAlone(c cut, likely [2]bool) (node *fleet.Guest, isNew [2]bool, wrong string) {
	p.Helper()
	machine := c.fork
	machine.PlugIn(own, p.underlay)
	for _, card := range p.cards {
		machine.PlugIn(card.MAC, card.Wire())
	}
	machine.Boot()
	node = p.fleet.TakeVM(machine)
	machine.Configured(strings.Fields(machine.MustRun("sh", "-c", "cd /sys/class/net && ls -d multinic*"))...)
	for _, try := range [][2]bool{likely, {false, false}, {true, false}, {true, true}, {false, true}} {
		if wrong = node.Judge(oracle.Expect{ByManager: true}, rows(c.booted(try))...); wrong == "" {
			return node, try, ""
		}
	}

	return node, isNew, wrong
}

// withoutSyncs does by hand what an executor does to persist a change of the first card, but for syncing the new files, and returns the
// state of the disk between the old and the new one.
func (p *play) withoutSyncs(is phase) cut {
	p.Helper()
	if err := p.node.Executor.Kill(); err != nil {
		p.Fatal(err)
	}
	// The kernel itself writes nothing meanwhile, as it may not where somebody is quick.
	p.node.MustRun("sh", "-ec", "sysctl -qw vm.dirty_writeback_centisecs=0 vm.dirty_expire_centisecs=360000; mount -o remount,commit=1000 /; sync")
	p.cuts.enter(is, nil)
	p.node.MustRun("sh", "-ec", fmt.Sprintf(`cd /etc/multinic
mkdir multinic0.unsynced
cd multinic0
find . -type d -exec mkdir -p ../multinic0.unsynced/{} \;
find . -type f -exec sh -c 'sed s/%s/%s/g "$1" >../multinic0.unsynced/$1' - {} \;
cd ..
ln -s multinic0.unsynced new
mv -T new multinic0
sync .`, is.before[0][0].Address, is.after[0][0].Address))
	p.node.MustRun("sync")
	p.cuts.enter(phase{}, nil)
	p.cuts.mu.Lock()
	first := slices.IndexFunc(p.cuts.all, func(c cut) bool { return c.name == is.name })
	states := slices.Clone(p.cuts.all[first:])
	p.cuts.all = p.cuts.all[:first]
	p.cuts.mu.Unlock()
	old, last := states[0].read, states[len(states)-1].read
	torn := slices.IndexFunc(states, func(c cut) bool { return c.read != old && c.read != last })
	if torn < 0 || old == last {
		p.Fatalf("of a change without syncs %d states are seen, and none between the old and the new one, which differ in %s", len(states), differs(old, last))
	}

	return states[torn]
}

// mustBeTorn is the control: of a state that a change without syncs has left it must be found that a NIC is neither the old nor the new.
func (p *play) mustBeTorn(c cut) {
	p.Helper()
	node, isNew, wrong := p.bootAlone(c, [2]bool{})
	if wrong == "" {
		p.Errorf("a change without syncs is not found: the cards are new: %v, and a boot reads\n%s", isNew, c.read)
	}
	p.Logf("after a change without syncs it is found: %s", wrong)
	node.Kill()
}
