package reconcile_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"multinic.dev/dispatcher/internal/reconcile"
	"multinic.dev/dispatcher/internal/row"
	"multinic.dev/dispatcher/internal/store"
	multinicv1 "multinic.dev/proto/multinic/v1"
)

// player plays the executor of a node that at once becomes what it is told to, and gives up what it is told to.
type player struct {
	t       *testing.T
	r       *reconcile.Reconciler
	session *reconcile.Session
	// has is what it has taken, by key as text.
	has map[string]*multinicv1.WorkResult
	// removed are the keys that it was told to give up.
	removed []string
	// works are all WorkSets that it was sent.
	works []*multinicv1.WorkSet
}

func keyText(key *multinicv1.Key) string {
	return fmt.Sprintf("%s/%d", key.GetMacAddress()[12:], key.GetVlanId())
}

// join opens a session of a node that has what a player before it had; nil: nothing.
func join(t *testing.T, r *reconcile.Reconciler, node string, before *player) *player {
	t.Helper()
	session, err := r.Open(node, "")
	if err != nil {
		t.Fatal(err)
	}
	p := &player{t: t, r: r, session: session, has: map[string]*multinicv1.WorkResult{}}
	if before != nil {
		for name, result := range before.has {
			p.has[name] = &multinicv1.WorkResult{Key: result.GetKey(), State: multinicv1.State_STATE_READY, Taken: true, Proved: result.GetProved()}
		}
	}
	p.report(0)
	p.play()

	return p
}

func (p *player) report(generation uint64) {
	report := &multinicv1.NodeReport{Generation: generation}
	for _, name := range slices.Sorted(maps.Keys(p.has)) {
		report.Results = append(report.Results, p.has[name])
	}
	p.r.Report(p.session, report)
}

// play does what it was sent, until nothing more comes.
func (p *player) play() {
	for {
		synctest.Wait()
		select {
		case work := <-p.session.Work():
			p.works = append(p.works, work)
			for _, item := range work.GetItems() {
				p.has[keyText(item.GetKey())] = &multinicv1.WorkResult{
					Key: item.GetKey(), Revision: item.GetRevision(), VerifiedGeneration: work.GetGeneration(), State: multinicv1.State_STATE_READY, Taken: true,
					Proved: &multinicv1.InterfaceSpec{Address: item.GetSpec().GetAddress(), Gateway: item.GetSpec().GetGateway(), Mtu: item.GetSpec().GetMtu()},
				}
			}
			for _, key := range work.GetRemovals() {
				p.removed = append(p.removed, keyText(key))
				delete(p.has, keyText(key))
			}
			p.report(work.GetGeneration())
		default:
			return
		}
	}
}

// after lets time pass in which the table is read all the while.
func (p *player) after(wait time.Duration) {
	time.Sleep(wait)
	p.r.Polled(time.Now())
	p.play()
}

// interfaces are rows of a node, that many from an id on, each committed and with an address of its own.
func interfaces(node string, from, count int) []row.Row {
	var rows []row.Row
	for id := from; id < from+count; id++ {
		one := aRow(node, int64(id))
		one.Address, one.Mask, one.Committed = row.Text(fmt.Sprintf("10.0.%d.%d", id/200, 1+id%200)), row.Text("16"), true
		rows = append(rows, one)
	}

	return rows
}

// changed is what the store says when a node's rows are others.
func changed(node string, rows ...row.Row) store.Change {
	return store.Change{Nodes: map[string][]row.Row{node: rows}}
}

func guard(t *testing.T, r *reconcile.Reconciler) *multinicv1.Guard {
	t.Helper()
	held, _, err := r.Guard()
	if err != nil {
		t.Fatal(err)
	}

	return held
}

func TestAnInterfaceGoesWhenItsRowHasStayedAwayForTheHoldDown(t *testing.T) {
	run(t, &table{}, func(r *reconcile.Reconciler, _ func()) {
		rows := interfaces("a", 1, 3)
		r.Changed(picture(rows...))
		p := join(t, r, "a", nil)
		r.Changed(changed("a", rows[:2]...))
		p.after(59 * time.Second)
		if len(p.removed) != 0 {
			t.Fatalf("removed before its time: %v", p.removed)
		}
		node, _, _ := r.Node("a")
		if hold := node.GetInterfaces()[2].GetHold(); hold.GetReason() != multinicv1.HoldReason_HOLD_REASON_HOLD_DOWN || hold.GetUntil() == nil {
			t.Errorf("the hold is %v", hold)
		}
		// It comes back, and nobody notices.
		sent := len(p.works)
		r.Changed(changed("a", rows...))
		p.after(time.Hour)
		if len(p.removed) != 0 || len(p.works) > sent+1 {
			t.Errorf("after it came back: removed %v, %d WorkSets", p.removed, len(p.works)-sent)
		}
		// It goes for good.
		r.Changed(changed("a", rows[:2]...))
		p.after(62 * time.Second)
		if fmt.Sprint(p.removed) != "[00:03/0]" {
			t.Errorf("removed %v", p.removed)
		}
	})
}

func TestADispatcherThatWasRestartedWaitsAnew(t *testing.T) {
	rows := interfaces("a", 1, 3)
	var before *player
	run(t, &table{}, func(r *reconcile.Reconciler, _ func()) {
		r.Changed(picture(rows...))
		before = join(t, r, "a", nil)
	})
	run(t, &table{}, func(r *reconcile.Reconciler, _ func()) {
		p := join(t, r, "a", before)
		p.after(time.Hour) // The table was not read yet.
		r.Changed(picture(rows[:2]...))
		p.after(59 * time.Second)
		if len(p.removed) != 0 {
			t.Fatalf("removed before its time: %v", p.removed)
		}
		p.after(3 * time.Second)
		if fmt.Sprint(p.removed) != "[00:03/0]" {
			t.Errorf("removed %v", p.removed)
		}
	})
}

// TestAHeldInterfaceYieldsAtOnce to a row that claims its MAC on another node, or its address.
func TestAHeldInterfaceYieldsAtOnce(t *testing.T) {
	onAnother := func(held row.Row) row.Row {
		claim := aRow("b", 99)
		claim.MAC = held.MAC

		return claim
	}
	for _, test := range []struct {
		name    string
		claim   func(held row.Row) row.Row
		present bool
		yields  bool
	}{
		{"the MAC on another node", onAnother, false, true},
		{"the MAC on another node, though its link is here", onAnother, true, false},
		{"the address under a new MAC", func(held row.Row) row.Row {
			claim := aRow("a", 99)
			claim.Address, claim.Mask = held.Address, held.Mask

			return claim
		}, true, true},
		{"nothing of it", func(row.Row) row.Row { return aRow("a", 99) }, false, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			run(t, &table{}, func(r *reconcile.Reconciler, _ func()) {
				rows := interfaces("a", 1, 3)
				r.Changed(picture(rows...))
				p := join(t, r, "a", nil)
				if test.present {
					p.has["00:03/0"].Observed = &multinicv1.Observed{LinkIndex: 3}
					p.report(1)
				}
				claim := test.claim(rows[2])
				change := store.Change{Nodes: map[string][]row.Row{"a": rows[:2]}}
				change.Nodes[claim.Node.Text] = append(slices.Clone(change.Nodes[claim.Node.Text]), claim)
				r.Changed(change)
				p.play()
				if got := slices.Contains(p.removed, "00:03/0"); got != test.yields {
					t.Errorf("removed %v", p.removed)
				}
				last := p.works[len(p.works)-1]
				if test.yields && (len(last.GetRemovals()) != 1 || last.GetGeneration() != 2) {
					t.Errorf("it was not in the next WorkSet: %v", last)
				}
			})
		})
	}
}

func TestATypoInAMACKeepsWhateverItMayBeOf(t *testing.T) {
	f := &table{}
	run(t, f, func(r *reconcile.Reconciler, _ func()) {
		rows := interfaces("a", 1, 3)
		r.Changed(picture(rows...))
		p := join(t, r, "a", nil)
		typo := rows[2]
		typo.MAC = row.Text("02:00:5e:00:00:0g")
		r.Changed(changed("a", rows[0], rows[1], typo))
		p.after(time.Hour)
		if len(p.removed) != 0 {
			t.Errorf("removed %v", p.removed)
		}
		if got := f.seen(); !strings.HasPrefix(got, "[[3]]") {
			t.Errorf("commits and rereads %s, want the flag of the typo taken back", got)
		}
		node, _, _ := r.Node("a")
		if hold := node.GetInterfaces()[2].GetHold(); hold.GetReason() != multinicv1.HoldReason_HOLD_REASON_UNREADABLE_ROW {
			t.Errorf("the hold is %v", hold)
		}
		r.Changed(changed("a", rows[:2]...)) // The control: without the row, it goes.
		p.after(62 * time.Second)
		if fmt.Sprint(p.removed) != "[00:03/0]" {
			t.Errorf("removed %v", p.removed)
		}
	})
}

// TestAnEmptiedTableRemovesNothing by itself, before or after a restart of the dispatcher; what an operator releases goes.
func TestAnEmptiedTableRemovesNothing(t *testing.T) {
	for _, restarted := range []bool{false, true} {
		t.Run(fmt.Sprint("restarted ", restarted), func(t *testing.T) {
			rows := interfaces("a", 1, 3)
			var before *player
			scene := func(r *reconcile.Reconciler, p *player) {
				p.after(24 * time.Hour)
				held := guard(t, r)
				if len(p.removed) != 0 || held.GetTotal() != 3 || held.GetReason() != "the table has become empty while nodes have 3 interfaces" {
					t.Fatalf("removed %v, the guard is %v", p.removed, held)
				}
				if stats, _ := r.Stats(); stats.Guarded != 3 {
					t.Errorf("the metric says %d", stats.Guarded)
				}
				node, _, _ := r.Node("a")
				if hold := node.GetInterfaces()[0].GetHold(); hold.GetReason() != multinicv1.HoldReason_HOLD_REASON_GUARD {
					t.Errorf("the hold is %v", hold)
				}
				if _, is, _, _ := r.ReleaseGuard("another"); is {
					t.Error("a wrong token was taken")
				}
				// A row comes back: of what was looked at, it is held and wanted no more.
				r.Changed(changed("a", rows[0]))
				p.play()
				if released, is, _, _ := r.ReleaseGuard(held.GetToken()); !is || released != 2 {
					t.Fatalf("released %d, %v of %v", released, is, held)
				}
				p.play()
				if fmt.Sprint(p.removed) != "[00:02/0 00:03/0]" {
					t.Errorf("removed %v", p.removed)
				}
				if held := guard(t, r); held.GetReason() != "" || held.GetToken() != "" {
					t.Errorf("the guard is %v", held)
				}
			}
			run(t, &table{}, func(r *reconcile.Reconciler, _ func()) {
				r.Changed(picture(rows...))
				before = join(t, r, "a", nil)
				if !restarted {
					r.Changed(changed("a"))
					scene(r, before)
				}
			})
			if restarted {
				run(t, &table{}, func(r *reconcile.Reconciler, _ func()) {
					r.Changed(picture())
					scene(r, join(t, r, "a", before))
				})
			}
		})
	}
}

// rewritten are rows with other addresses.
func rewritten(rows []row.Row) []row.Row {
	rows = slices.Clone(rows)
	for i := range rows {
		rows[i].Gateway = row.Text("10.0.255.1")
	}

	return rows
}

func TestTooManyChangesAtOnceAreHeldAndNotOneOfThemIsSent(t *testing.T) {
	run(t, &table{}, func(r *reconcile.Reconciler, _ func()) {
		var all []row.Row
		for node := range 6 {
			all = append(all, interfaces(fmt.Sprint("n", node), 1+10*node, 10)...)
		}
		r.Changed(picture(all...))
		var players []*player
		for node := range 6 {
			players = append(players, join(t, r, fmt.Sprint("n", node), nil))
		}
		sent := func() (works int) {
			for _, p := range players {
				p.play()
				for _, work := range p.works {
					for _, item := range work.GetItems() {
						if item.GetSpec().GetGateway() != "" {
							works++
						}
					}
				}
			}

			return works
		}
		// Thirteen of sixty are more than a fifth, and more than ten.
		changes := rewritten(all[:13])
		r.Changed(store.Change{Nodes: map[string][]row.Row{"n0": changes[:10], "n1": slices.Concat(changes[10:13], all[13:20])}})
		if got := sent(); got != 0 {
			t.Errorf("%d changed items were sent", got)
		}
		held := guard(t, r)
		if held.GetTotal() != 13 || held.GetHeld()[0].GetDesired().GetGateway() != "10.0.255.1" || held.GetHeld()[0].GetProved().GetAddress() != "10.0.0.2/16" {
			t.Fatalf("the guard is %v", held)
		}
		// What is wanted while it holds is held as well, and was not looked at before: it stays, as it is too much by itself.
		r.Changed(store.Change{Nodes: map[string][]row.Row{"n2": rewritten(all[20:30]), "n3": slices.Concat(rewritten(all[30:33]), all[33:40])}})
		if got := sent(); got != 0 {
			t.Errorf("%d changed items were sent", got)
		}
		if released, is, _, _ := r.ReleaseGuard(held.GetToken()); !is || released != 13 {
			t.Errorf("released %d, %v", released, is)
		}
		if got := sent(); got != 13 || guard(t, r).GetTotal() != 13 {
			t.Errorf("%d changed items were sent, want 13; the guard is %v", got, guard(t, r))
		}
		// A token is good once, and what was released is not counted any more.
		if _, is, _, _ := r.ReleaseGuard(held.GetToken()); is {
			t.Error("a token was taken twice")
		}
		if released, is, _, _ := r.ReleaseGuard(guard(t, r).GetToken()); !is || released != 13 {
			t.Errorf("released %d, %v", released, is)
		}
		r.Changed(changed("n4", slices.Concat(rewritten(all[40:43]), all[43:50])...))
		if got := sent(); got != 29 {
			t.Errorf("%d changed items were sent, want 29", got)
		}
	})
}

func TestTheGuardGoesByTheShareOfTheFleetWithinAMinute(t *testing.T) {
	for _, test := range []struct {
		name  string
		fleet int
		pause time.Duration
		held  bool
	}{
		{"eleven one after the other in a fleet of thirty", 30, time.Second, true},
		{"the same in a fleet of a hundred", 100, time.Second, false},
		{"the same in a fleet of thirty, over minutes", 30, 10 * time.Second, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			run(t, &table{}, func(r *reconcile.Reconciler, _ func()) {
				rows := interfaces("a", 1, test.fleet)
				change := store.Change{Full: true, Nodes: map[string][]row.Row{}}
				var players []*player
				for i := 0; i < test.fleet; i += 10 {
					node := fmt.Sprint("n", i/10)
					for j := i; j < i+10; j++ {
						rows[j].Node = row.Text(node)
					}
					change.Nodes[node] = rows[i : i+10]
				}
				r.Changed(change)
				for i := 0; i < test.fleet; i += 10 {
					players = append(players, join(t, r, fmt.Sprint("n", i/10), nil))
				}
				for i := range 11 {
					copy(rows[i:i+1], rewritten(rows[i:i+1]))
					node := i / 10
					r.Changed(changed(fmt.Sprint("n", node), slices.Clone(rows[10*node:10*node+10])...))
					for _, p := range players {
						p.play()
					}
					time.Sleep(test.pause)
				}
				if got := guard(t, r).GetReason() != ""; got != test.held {
					t.Errorf("the guard is %v", guard(t, r))
				}
			})
		})
	}
}

func TestWhatTheGuardHoldsAndIsWantedNoMoreEndsTheHold(t *testing.T) {
	run(t, &table{}, func(r *reconcile.Reconciler, _ func()) {
		rows := interfaces("a", 1, 12)
		r.Changed(picture(rows...))
		p := join(t, r, "a", nil)
		r.Changed(changed("a", rewritten(rows)...))
		p.play()
		if guard(t, r).GetTotal() != 12 {
			t.Fatalf("the guard is %v", guard(t, r))
		}
		r.Changed(changed("a", rows...))
		p.play()
		if held := guard(t, r); held.GetReason() != "" {
			t.Errorf("the guard is %v", held)
		}
	})
}

func TestNamesFitExactlyThenWithoutCaseThenWithoutSuffix(t *testing.T) {
	for _, test := range []struct {
		name, row string
		nodes     []string
		want      string // the node that has the row; empty: nobody
	}{
		{"exactly", "a.novalocal", []string{"A.novalocal", "a.novalocal", "a"}, "a.novalocal"},
		{"without case", "NODE-1", []string{"node-1", "node-1.novalocal"}, "node-1"},
		{"the row without the suffix", "node-1", []string{"Node-1.novalocal", "node-2.novalocal"}, "Node-1.novalocal"},
		{"the node without the suffix", "node-1.NOVALOCAL", []string{"node-1"}, "node-1"},
		{"another suffix", "node-1.example", []string{"node-1"}, ""},
		{"two without case", "node-1", []string{"Node-1", "NODE-1"}, ""},
		{"two without suffix", "node-1", []string{"node-1.novalocal", "node-1.internal"}, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r, end := start(t, reconcile.Policy{HoldDown: time.Minute, GuardShare: 1, Suffixes: []string{".novalocal", ".internal"}})
				defer end()
				r.Changed(picture(aRow(test.row, 1)))
				sessions := map[string]*reconcile.Session{}
				for _, node := range test.nodes {
					session, err := r.Open(node, "")
					if err != nil {
						t.Fatal(err)
					}
					sessions[node] = session
				}
				for _, node := range test.nodes {
					p := &player{t: t, r: r, session: sessions[node], has: map[string]*multinicv1.WorkResult{}}
					p.report(0)
					p.play()
					if has := len(p.has) == 1; has != (node == test.want) {
						t.Errorf("%s has %v", node, p.has)
					}
				}
			})
		})
	}
}

func TestAnAmbiguousNameIsSaidAndKeepsWhatItMayBeOf(t *testing.T) {
	f := &table{}
	run(t, f, func(r *reconcile.Reconciler, _ func()) {
		rows := interfaces("node-1", 1, 2)
		r.Changed(picture(rows...))
		first := join(t, r, "Node-1", nil)
		if len(first.has) != 2 {
			t.Fatalf("the first has %v", first.has)
		}
		second := join(t, r, "NODE-1", nil)
		first.after(time.Hour)
		second.play()
		if len(first.removed) != 0 || len(second.has) != 0 {
			t.Errorf("the first gave up %v, the second has %v", first.removed, second.has)
		}
		node, _, _ := r.Node("node-1")
		const want = `attached_node_name "node-1" fits the nodes ["NODE-1" "Node-1"]: write the name of the one that is meant`
		if got := node.GetRows()[0]; got.GetVerdict() != multinicv1.RowVerdict_ROW_VERDICT_AMBIGUOUS || got.GetMessage() != want {
			t.Errorf("the row is %v", got)
		}
		if got := f.seen(); got != "[] []" {
			t.Errorf("commits and rereads %s", got)
		}
		r.Close(second.session)
		first.play()
		if last := first.works[len(first.works)-1]; len(last.GetItems()) != 2 {
			t.Errorf("once the second has gone, the first is told %v", last)
		}
	})
}

func TestAnOperatorsRetryIsAGenerationOfItsOwn(t *testing.T) {
	run(t, &table{}, func(r *reconcile.Reconciler, _ func()) {
		r.Changed(picture(interfaces("a", 1, 1)...))
		if generation, found, _, _ := r.Retry("a"); generation != 0 || !found {
			t.Errorf("without a session: %d, %v", generation, found)
		}
		p := join(t, r, "a", nil)
		if generation, _, _, _ := r.Retry("a"); generation != 2 {
			t.Errorf("generation %d", generation)
		}
		p.play()
		if last := p.works[len(p.works)-1]; last.GetGeneration() != 2 || last.GetRetryGeneration() != 2 {
			t.Errorf("sent %v", last)
		}
		if _, found, _, _ := r.Retry("b"); found {
			t.Error("a node that there is not was found")
		}
	})
}
