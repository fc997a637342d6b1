package reconcile_test

import (
	"fmt"
	"testing"
	"time"

	"multinic.dev/dispatcher/internal/reconcile"
	"multinic.dev/dispatcher/internal/row"
	multinicv1 "multinic.dev/proto/multinic/v1"
)

// stands makes a player that says it has what rows ask for.
func stands(rows ...row.Row) *player {
	p := &player{has: map[string]*multinicv1.WorkResult{}}
	for _, one := range rows {
		key := &multinicv1.Key{MacAddress: one.MAC.Text}
		p.has[keyText(key)] = &multinicv1.WorkResult{
			Key: key, State: multinicv1.State_STATE_READY, Taken: true,
			Proved: &multinicv1.InterfaceSpec{Address: one.Address.Text + "/" + one.Mask.Text, Gateway: one.Gateway.Text},
		}
	}

	return p
}

// TestAOneWhoseChangeIsHeldIsTakenBack has rows change in place, at 1, and more of them than the guard lets through.
func TestAOneWhoseChangeIsHeldIsTakenBack(t *testing.T) {
	f := &table{}
	run(t, f, func(r *reconcile.Reconciler, _ func()) {
		rows := interfaces("a", 1, 12)
		r.Changed(picture(rows...))
		p := join(t, r, "a", nil)
		r.Changed(changed("a", rewritten(rows)...))
		p.after(time.Second)
		if stats, _ := r.Stats(); stats.Revocations != 12 || stats.CommittedRows != 0 {
			t.Errorf("%d of 12 flags were taken back, %d rows stand at 1", stats.Revocations, stats.CommittedRows)
		}
		// As the store reads them after that.
		pending := rewritten(rows)
		for i := range pending {
			pending[i].Committed = false
		}
		r.Changed(changed("a", pending...))
		held := guard(t, r)
		if _, is, _, _ := r.ReleaseGuard(held.GetToken()); !is {
			t.Fatalf("not released: %v", held)
		}
		p.after(time.Second)
		if stats, _ := r.Stats(); stats.Commits != 12 || stats.CommittedRows != 12 {
			t.Errorf("after the release %d flags were set, and %d rows stand at 1", stats.Commits, stats.CommittedRows)
		}
	})
}

// TestAOneIsNotTakenBackForWantOfAReport has the guard hold what the table says before the node has a session again.
func TestAOneIsNotTakenBackForWantOfAReport(t *testing.T) {
	run(t, &table{}, func(r *reconcile.Reconciler, _ func()) {
		rows := interfaces("a", 1, 12)
		r.Changed(picture(rows...))
		p := join(t, r, "a", nil)
		r.Close(p.session)
		r.Changed(changed("a", rewritten(rows)...))
		time.Sleep(time.Hour)
		if stats, _ := r.Stats(); stats.Revocations != 0 {
			t.Errorf("%d flags were taken back", stats.Revocations)
		}
		join(t, r, "a", p).after(time.Second) // The control.
		if stats, _ := r.Stats(); stats.Revocations != 12 {
			t.Errorf("%d flags were taken back once it was there", stats.Revocations)
		}
	})
}

// TestAnAddressThatStandsOnAnotherNetworkIsNoClaim has two nodes with one address, on networks that know nothing of each other.
func TestAnAddressThatStandsOnAnotherNetworkIsNoClaim(t *testing.T) {
	for _, test := range []struct {
		name   string
		stands bool // the other node has it already
		joins  bool // and is there
		yields bool
	}{
		{"one that has it", true, true, false},
		{"one that is to get it", false, true, true},
		{"one that is to get it, of a node that is not there", false, false, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			run(t, &table{}, func(r *reconcile.Reconciler, _ func()) {
				a, b := interfaces("a", 1, 2), interfaces("b", 3, 1)
				b[0].Address = a[0].Address
				r.Changed(picture(append(a, b...)...))
				p := join(t, r, "a", stands(a...))
				if test.joins {
					session, err := r.Open("b", "")
					if err != nil {
						t.Fatal(err)
					}
					other := &player{t: t, r: r, session: session, has: map[string]*multinicv1.WorkResult{}}
					if test.stands {
						other.has = stands(b...).has
					}
					other.report(0)
				}
				r.Changed(changed("a", a[1:]...))
				p.after(time.Second)
				if got := fmt.Sprint(p.removed) == "[00:01/0]"; got != test.yields {
					t.Errorf("removed %v", p.removed)
				}
			})
		})
	}
}

// TestWhatAnOperatorHasReleasedGoesThoughTheStreamIsLostMeanwhile loses it before the hold-down is over.
func TestWhatAnOperatorHasReleasedGoesThoughTheStreamIsLostMeanwhile(t *testing.T) {
	for _, away := range []time.Duration{time.Second, 2 * time.Hour} {
		t.Run(away.String(), func(t *testing.T) {
			run(t, &table{}, func(r *reconcile.Reconciler, _ func()) {
				rows := interfaces("a", 1, 3)
				r.Changed(picture(rows...))
				p := join(t, r, "a", nil)
				r.Changed(changed("a"))
				p.after(time.Second)
				if _, is, _, _ := r.ReleaseGuard(guard(t, r).GetToken()); !is {
					t.Fatal("not released")
				}
				r.Close(p.session)
				for range int(away / time.Second) {
					time.Sleep(time.Second)
					r.Polled(time.Now())
				}
				isKnown := away < time.Hour
				if stats, _ := r.Stats(); (stats.Nodes == 1) != isKnown {
					t.Errorf("%d nodes are known", stats.Nodes)
				}
				p = join(t, r, "a", p)
				p.after(2 * time.Minute)
				if (len(p.removed) == 3) != isKnown {
					t.Errorf("removed %v, the guard is %v", p.removed, guard(t, r))
				}
			})
		})
	}
}
