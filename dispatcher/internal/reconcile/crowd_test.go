package reconcile_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"multinic.dev/dispatcher/internal/reconcile"
	"multinic.dev/dispatcher/internal/row"
	"multinic.dev/dispatcher/internal/store"
	multinicv1 "multinic.dev/proto/multinic/v1"
)

// TestARestartedDispatcherJudgesAWrongTableAsAWhole has nodes report one after the other, each of which would have one interface
// changed.
func TestARestartedDispatcherJudgesAWrongTableAsAWhole(t *testing.T) {
	for _, test := range []struct {
		name string
		// there is how many of the forty nodes come.
		there int
		held  bool
	}{
		{"all nodes come", 40, true},
		{"one never comes", 39, true},
		{"few enough", 9, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			run(t, &table{}, func(r *reconcile.Reconciler, _ func()) {
				var rows []row.Row
				for i := range 40 {
					rows = append(rows, interfaces(fmt.Sprintf("n%02d", i), 1+i, 1)...)
				}
				r.Changed(picture(rewritten(rows)...))
				var players []*player
				told := func() (changes int) {
					for _, p := range players {
						p.play()
						for _, work := range p.works {
							changes += len(work.GetItems())
						}
					}

					return changes
				}
				for i := range test.there {
					players = append(players, join(t, r, fmt.Sprintf("n%02d", i), stands(rows[i])))
					time.Sleep(100 * time.Millisecond)
				}
				if got := told(); got != 0 {
					t.Errorf("%d working interfaces were changed before anybody could judge", got)
				}
				if test.there < 40 {
					view, _, _ := r.Node("n00")
					if hold := view.GetInterfaces()[0].GetHold(); hold.GetReason() != multinicv1.HoldReason_HOLD_REASON_SETTLING {
						t.Errorf("the hold is %v", hold)
					}
				}
				for range 20 {
					time.Sleep(time.Second)
					r.Polled(time.Now())
				}
				want := test.there
				if test.held {
					want = 0
				}
				if got := told(); got != want || (guard(t, r).GetReason() != "") != test.held {
					t.Errorf("%d were changed, want %d; the guard: %v", got, want, guard(t, r).GetReason())
				}
			})
		})
	}
}

// TestWhatIsNewOrTrueIsSentWhileADispatcherSettles has a node of the table that never comes.
func TestWhatIsNewOrTrueIsSentWhileADispatcherSettles(t *testing.T) {
	run(t, &table{}, func(r *reconcile.Reconciler, _ func()) {
		rows := interfaces("a", 1, 2)
		r.Changed(picture(append(rows, interfaces("b", 9, 1)...)...))
		p := join(t, r, "a", stands(rows[0]))
		if len(p.works) != 1 || len(p.works[0].GetItems()) != 2 {
			t.Errorf("sent %v", p.works)
		}
	})
}

// TestOneNodeThatLiesHoldsUpItselfAlone has a node say that it has interfaces which no row ever asked for.
func TestOneNodeThatLiesHoldsUpItselfAlone(t *testing.T) {
	for _, lies := range []int{12, 60} {
		t.Run(fmt.Sprint(lies, " lies"), func(t *testing.T) {
			run(t, &table{}, func(r *reconcile.Reconciler, _ func()) {
				var all []row.Row
				for i := range 6 {
					all = append(all, interfaces(fmt.Sprint("n", i), 1+10*i, 10)...)
				}
				r.Changed(picture(all...))
				var players []*player
				for i := range 6 {
					players = append(players, join(t, r, fmt.Sprint("n", i), nil))
				}
				rogue, err := r.Open("rogue", "")
				if err != nil {
					t.Fatal(err)
				}
				lie := func(from int) {
					report := &multinicv1.NodeReport{}
					for i := range lies {
						report.Results = append(report.Results, &multinicv1.WorkResult{Key: &multinicv1.Key{MacAddress: fmt.Sprintf("02:ff:00:00:00:%02x", from+i)}, Taken: true})
					}
					r.Report(rogue, report)
				}
				lie(0)
				r.Polled(time.Now())
				// An ordinary change of another node goes out.
				r.Changed(changed("n0", slices.Concat(rewritten(all[:1]), all[1:10])...))
				players[0].play()
				if got := players[0].has["00:01/0"].GetProved().GetGateway(); got != "10.0.255.1" {
					t.Errorf("the change of one interface of another node is held: %v", guard(t, r))
				}
				// A wrong table is held as ever.
				r.Changed(store.Change{Nodes: map[string][]row.Row{"n1": rewritten(all[10:20]), "n2": rewritten(all[20:30])}})
				held := guard(t, r)
				if held.GetTotal() < 20 {
					t.Errorf("the guard is %v", held)
				}
				// And what the liar says meanwhile does not void what an operator has looked at.
				lie(1)
				if released, is, _, _ := r.ReleaseGuard(held.GetToken()); !is || released < 20 {
					t.Errorf("released %d, %v", released, is)
				}
			})
		})
	}
}
